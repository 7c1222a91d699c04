"use strict";
// How hard each client is to forget, graph by graph.
(() => {
  const {charts, SERIES, plain, plot, logScale, linearScale, upward} = rewindnet;
  charts.hardness = (data, width) => {
    // The clients of a graph stand side by side, the hardest on the left, so that their bars do not cover each other.
    const counts = d3.rollup(data.dots, own => own.length, dot => dot.graph);
    const seen = new Map(), beside = ({graph}) => {
      const at = seen.get(graph) ?? 0, step = Math.min(.14, .7 / counts.get(graph));
      seen.set(graph, at + 1);
      return graph + step * (at - (counts.get(graph) - 1) / 2);
    };
    const points = data.dots.map(dot => ({...dot, x: beside(dot), y: dot.mean, said: `client ${dot.client} on ${data.graphs[dot.graph]}\n${data.meaning}: ${dot.shown}`}));
    const low = dot => dot.mean - (dot.half ?? 0), high = dot => dot.mean + (dot.half ?? 0), least = d3.min(points, point => point.mean);
    const y = data.log ? logScale([least, ...points.flatMap(point => [Math.max(low(point), least / 2), high(point)])])
      : linearScale([0, d3.max(points, high)], plain);
    const bottom = y.scale.domain[0], count = data.graphs.length;
    const room = (width - 80) / count, hardest = points.filter(point => point.hardest);
    const named = [...d3.group(hardest, point => point.graph).values()].map(own => own[0]);
    // Names of graphs break after commas and hyphens.
    const broken = graph => graph.length < room / 7 ? graph : graph.replaceAll(", ", "\n").replace("-", "-\n");
    return plot(points, {
      width, height: Math.max(280, Math.min(360, .62 * width)), marginLeft: 56, marginRight: 20, marginTop: 28, marginBottom: 64,
      x: {domain: [-.5, count - .4], axis: null}, y: y.scale,
      marks: [
        ...upward(y, data.meaning),
        Plot.text(data.graphs, {x: (_, at) => at, text: broken, frameAnchor: "bottom", lineAnchor: "top", dy: 12, fill: "var(--ink)"}),
        Plot.ruleX(points.filter(point => point.half), {x: "x", y1: dot => Math.max(low(dot), bottom), y2: high, stroke: "var(--muted)", marker: "tick"}),
        Plot.dot(points.filter(point => !point.hardest), {x: "x", y: "y", r: 4, fill: SERIES[0], stroke: "var(--page)"}),
        Plot.dot(hardest, {x: "x", y: "y", r: 5.5, fill: SERIES[1], stroke: "var(--page)"}),
        Plot.text(named, {x: "x", y: high, text: dot => `client ${dot.client}`, textAnchor: "start", dx: -6, dy: -13, fill: "var(--ink)", stroke: "var(--page)", strokeWidth: 3}),
      ],
    });
  };
})();
