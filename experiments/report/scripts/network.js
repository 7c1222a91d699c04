"use strict";
// The network: its links, its nodes in their places, and the colours of their sensitivity.
(() => {
  const {charts, SERIES, json, number, plain, text, plot, logTicks} = rewindnet;
  // Viridis without its darkest and lightest ends, which are invisible in one theme of the page.
  const colour = share => d3.interpolateViridis(.14 + .81 * Math.round(48 * share) / 48);

  // The largest number of nodes that are elements of their own; of more, those of one colour are one element.
  const DOTS = 2500;
  const specks = (points, r) => (_, {x, y}) => {
    const group = d3.create("svg:g").attr("class", "specks").attr("fill", "none").attr("stroke-linecap", "round").attr("stroke-width", 2 * r);
    const d = own => own.map(point => `M${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}h0`).join("");
    for (const [fill, own] of d3.groups(points, point => point.fill)) group.append("path").attr("stroke", fill).attr("data-nodes", own.length).attr("d", d(own));
    return group.node();
  };
  // Draw the network with a dot for every node: `look` returns its fill and stroke, `said` what is said of it.
  rewindnet.map = (graph, width, {look, said, rings, names}) => {
    const {places, links, side} = graph, N = places.length, size = Math.min(width, 480);
    const r = Math.max(1.6, Math.min(7, size / 3.4 / Math.sqrt(N))), fade = Math.max(.08, Math.min(.6, 6 / Math.sqrt(links.length + 1)));
    const points = places.map(([x, y], node) => ({x, y, node, ...look(node), said: said(node)}));
    const lines = links.flatMap(([from, to]) => [places[from], places[to], [NaN, NaN]]), chosen = rings.map(node => points[node]);
    const [inner, outer] = [-.03 * side, 1.03 * side];
    return plot(points, {
      width: size, height: size, margin: 8, x: {domain: [inner, outer], axis: null}, y: {domain: [outer, inner], axis: null},
      marks: [
        Plot.line(lines, {stroke: "var(--muted)", strokeOpacity: fade, strokeWidth: .8}),
        N > DOTS ? specks(points, r) : Plot.dot(points, {x: "x", y: "y", r, fill: "fill", stroke: "stroke", strokeWidth: N > 80 ? .5 : 1, className: "nodes"}),
        Plot.dot(chosen, {x: "x", y: "y", r: r + 4, stroke: "var(--ink)", strokeWidth: 2.2, className: "ring"}),
        Plot.text(names ? chosen : [], {
          x: "x", y: "y", text: point => names(point.node), fontWeight: 650, fill: "var(--ink)", stroke: "var(--page)", strokeWidth: 5, dy: -(r + 13),
          textAnchor: "middle",
        }),
      ],
    });
  };

  const bar = (low, high, width) => {
    const even = high <= low * 1.02, domain = even ? [low / 2, high * 2] : [low, high], steps = d3.range(64);
    const at = step => domain[0] * (domain[1] / domain[0]) ** (step / 64), ticks = even ? [Math.sqrt(low * high)] : logTicks(low, high);
    return Plot.plot({
      width: Math.min(width, 420), height: 52, margin: 0, marginTop: 20, marginBottom: 20, marginLeft: 16, marginRight: 24, x: {type: "log", domain, axis: null},
      style: {background: "none", color: "var(--ink)", fontFamily: "inherit", fontSize: "12px", overflow: "visible"},
      marks: [
        Plot.rect(steps, {x1: at, x2: step => at(step + 1), fill: step => colour((step + .5) / 64), inset: -.3}),
        Plot.axisX(ticks, {text: value => plain(Number(value.toPrecision(3))), tickSize: 4, label: null}),
        Plot.text(["sensitivity"], {frameAnchor: "top-left", dy: -16, fill: "var(--ink)"}),
      ],
    });
  };

  charts.network = (data, width) => {
    const graph = json("graph-data"), reached = data.sensitivity.filter(value => value > 0), [low, high] = [d3.min(reached), d3.max(reached)];
    const share = value => high <= low * (1 + data.even) ? .5 : Math.log(value / low) / Math.log(high / low);
    const name = node => data.names ? data.names[node] : `client ${node}`;
    const drawn = rewindnet.map(graph, width, {
      look: node => data.sensitivity[node] > 0 ? {fill: colour(share(data.sensitivity[node])), stroke: "var(--muted)"} : {fill: graph.places.length > DOTS ? "var(--rule)" : "var(--page)", stroke: "var(--muted)"},
      said: node => `${name(node)}${data.names ? ` (node ${node})` : ""}\nsensitivity: ${number(data.sensitivity[node])}`,
      rings: data.deleting, names: data.deleting.length <= 12 ? name : null,
    });
    return {...drawn, below: bar(low, high, width)};
  };
})();
