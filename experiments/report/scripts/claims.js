"use strict";
// Claimed, certified and empirical ε of every release, and beside them the accuracy of its models.
(() => {
  const {charts, SERIES, plain, number, up, percent, text, legend, plot, across, widthOf} = rewindnet;
  const LOOKS = {
    epsilon_claimed: {symbol: "circle", color: SERIES[1], hollow: true, size: 7},
    epsilon_certified: {symbol: "square", color: SERIES[0], size: 4.5},
    epsilon_empirical: {symbol: "times", color: "var(--alarm)", hollow: true, size: 4.5},
    epsilon_lower_bound: {symbol: "triangle", color: SERIES[2], size: 4.5, turn: 90},
  };
  const rowHeight = above => above ? 46 : 30;

  // The rows of a chart: a line for each, with its label on the left, or above the line where there is little room.
  const rows = (labels, width) => {
    const room = Math.ceil(d3.max(labels, widthOf)) + 14, above = room > .42 * width;
    return {
      above, marginLeft: above ? 4 : room,
      scale: {domain: [labels.length - .45, above ? -.75 : -.55], axis: null},
      height: labels.length * rowHeight(above) + 60,
      marks: [
        Plot.ruleY(labels, {y: (_, at) => at, stroke: "var(--rule)"}),
        above
          ? Plot.text(labels, {y: (_, at) => at, text: label => label, frameAnchor: "left", textAnchor: "start", dy: -16, fill: "var(--ink)", stroke: "var(--page)", strokeWidth: 4})
          : Plot.text(labels, {y: (_, at) => at, text: label => label, frameAnchor: "left", textAnchor: "end", dx: -10, fill: "var(--ink)"}),
      ],
    };
  };
  rewindnet.rows = rows;

  const epsilons = (data, width) => {
    const {axis} = data, lines = rows(data.rows.map(row => row.label), width);
    const points = data.rows.flatMap((row, y) => data.kinds.filter(({name}) => row.places[name] !== null).map(({name, label}) => {
      const value = row.values[name];
      return {name, y, x: row.places[name], said: `${row.label}\nε ${label}: ${value === null ? "none" : number(name === "epsilon_certified" ? up(value) : value)}`};
    }));
    const ticks = [axis.zero, ...axis.ticks, axis.none];
    const names = at => at === axis.zero ? "0" : at === axis.none ? "none\nor ∞" : plain(at);
    const dots = data.kinds.map(({name}) => {
      const {symbol, color, hollow, size, turn} = LOOKS[name];
      return Plot.dot(points.filter(point => point.name === name), {
        x: "x", y: "y", symbol, r: size, rotate: turn || 0, fill: hollow ? "none" : color, stroke: hollow ? color : "var(--page)", strokeWidth: hollow ? 2 : .8,
      });
    });
    const drawn = plot(points, {
      width, height: lines.height, marginLeft: lines.marginLeft, marginRight: 18, marginTop: 6, marginBottom: 52, y: lines.scale,
      x: {type: "log", domain: [axis.zero / 2, axis.none * 1.9], axis: null},
      marks: [
        ...across(ticks, names, `ε at δ = ${data.deltas.join(", ")}`, 48), ...lines.marks, Plot.ruleX([axis.line], {stroke: "var(--muted)"}),
        ...dots,
      ],
    });
    return {...drawn, above: legend(data.kinds.map(({name, label}) => ({label, ...LOOKS[name]})))};
  };

  const accuracies = (data, width, labelled) => {
    const lines = rows(labelled ? data.rows.map(row => row.label) : data.rows.map(() => ""), width);
    const points = data.rows.map((row, y) => ({
      y, x: row.mean, low: row.lowest, said: `${row.label}\nTest accuracy: ${percent(row.mean)}, at the lowest node ${percent(row.lowest)}`,
    }));
    const least = Math.max(0, d3.min(points, point => point.low) - .02), most = Math.min(1, d3.max(points, point => point.x) + .02);
    const domain = [least, Math.max(most, least + .05)];
    return plot(points, {
      width, height: lines.height, marginLeft: Math.max(14, lines.marginLeft), marginRight: 18, marginTop: 6, marginBottom: 52, y: lines.scale,
      x: {domain, axis: null},
      marks: [
        ...across(d3.ticks(...domain, Math.max(2, Math.min(5, width / 90))), percent, "test accuracy (line: down to the lowest node)", 48), ...lines.marks,
        Plot.ruleY(points, {y: "y", x1: "low", x2: "x", stroke: "var(--muted)", strokeWidth: 1.6}),
        Plot.dot(points, {x: "x", y: "y", r: 4.5, fill: "var(--ink)"}),
      ],
    });
  };

  charts.claims = (data, width, box) => {
    const wide = width >= 720;
    box.classList.toggle("side-by-side", wide);
    const left = wide ? Math.round(.66 * (width - 12)) : width, key = epsilons(data, left), right = accuracies(data, wide ? width - 12 - left : width, !wide);
    return wide ? [{above: key.above}, {...key, above: undefined}, right] : [key, right];
  };
})();
