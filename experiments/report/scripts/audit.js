"use strict";
// The measured divergence of each node, and the sensitivity that it may not exceed.
(() => {
  const {charts, SERIES, number, text, plot, logTicks, plain, across, upward} = rewindnet;
  const groups = hops => {
    const starts = hops.map((hop, at) => at).filter(at => !at || hops[at] !== hops[at - 1]);
    return starts.map((start, at) => ({start, end: at + 1 < starts.length ? starts[at + 1] : hops.length, hop: hops[start]}));
  };
  const spaced = (found, all) => {
    let last = -Infinity;
    return found.filter(({middle}) => middle - last >= all / 16 && (last = middle, true));
  };
  charts.audit = (data, width) => {
    const count = data.nodes.length, over = new Set(data.over), {floor} = data;
    const points = data.nodes.map((node, x) => ({
      x, y: Math.max(data.measured[x], floor), over: over.has(x),
      said: `node ${node}, ${data.hops[x]} hops away\nmeasured: ${number(data.measured[x])}\nsensitivity: ${number(data.bound[x])}`,
    }));
    const parts = groups(data.hops), middles = spaced(parts.map(({start, end, hop}) => ({middle: (start + end - 1) / 2, hop})), count);
    const steps = data.bound.flatMap((y, at) => [at - .5, at + .5].map(x => ({x, y: y > 0 ? y : null})));
    const domain = [floor / 1.6, 1.8 * Math.max(d3.max(data.bound), d3.max(data.measured))];
    const [, axis] = across(middles.map(({middle}) => middle), at => String(middles.find(({middle}) => middle === at).hop), "nodes, by hops from the deleting client");
    const drawn = plot(points, {
      width, height: 230, marginLeft: 52, marginRight: 10, marginTop: 8, marginBottom: 44,
      x: {domain: [-.7, count - .3], axis: null}, y: {type: "log", domain, axis: null},
      marks: [
        ...upward({ticks: logTicks(...domain), say: plain}, null), axis,
        Plot.ruleX(parts.length <= 12 ? parts.slice(1) : [], {x: part => part.start - .5, stroke: "var(--muted)", strokeWidth: .6, strokeDasharray: "2 3"}),
        Plot.rect(points.filter(point => point.over), {x1: point => point.x - .5, x2: point => point.x + .5, y1: domain[0], y2: domain[1], fill: "var(--alarm)", fillOpacity: .15}),
        Plot.line(steps, {x: "x", y: "y", stroke: "var(--ink)", strokeWidth: 2}),
        Plot.dot(points.filter(point => !point.over), {x: "x", y: "y", r: count <= 40 ? 3.5 : 1.8, fill: SERIES[0]}),
        Plot.dot(points.filter(point => point.over), {x: "x", y: "y", r: 5, symbol: "times", stroke: "var(--alarm)", strokeWidth: 2.5}),
      ],
    });
    return {...drawn, above: text("h3", data.title, data.holds ? "" : "violated")};
  };
})();
