"use strict";
// What each release took, as a share of retraining.
(() => {
  const {charts, SERIES, percent, legend, plot, across, rows} = rewindnet;
  const LOOKS = ["circle", "square", "triangle"].map((symbol, at) => ({symbol, color: SERIES[at], hollow: true}));
  charts.cost = (data, width) => {
    const lines = rows(data.rows.map(row => row.label), width);
    const points = data.rows.flatMap((row, y) => row.shares.map((x, kind) => ({x, y: y + .2 * (kind - 1), kind, said: `${row.label}\n${data.kinds[kind]}: ${x === null ? "" : percent(x)} of retraining`})))
      .filter(point => point.x !== null);
    const most = Math.max(1, d3.max(points, point => point.x));
    const drawn = plot(points, {
      width, height: lines.height, marginLeft: lines.marginLeft, marginRight: 18, marginTop: 6, marginBottom: 46, y: lines.scale,
      x: {domain: [-.03 * most, 1.04 * most], axis: null},
      marks: [
        ...across(d3.ticks(0, most, Math.max(2, Math.min(6, width / 90))), percent, "share of retraining"), ...lines.marks,
        Plot.ruleX([1], {stroke: "var(--muted)", strokeDasharray: "5 4"}),
        ...LOOKS.map(({symbol, color}, kind) => Plot.dot(points.filter(point => point.kind === kind), {x: "x", y: "y", symbol, r: 4.5, stroke: color, strokeWidth: 2})),
      ],
    });
    return {...drawn, above: legend(data.kinds.map((label, at) => ({label, ...LOOKS[at]})))};
  };
})();
