"use strict";
// One quantity over the rounds of every phase, or of every run.
(() => {
  const {charts, SERIES, DASHES, number, percent, plain, text, legend, plot, logScale, linearScale, across, upward} = rewindnet;
  charts.curves = (data, width) => {
    const labels = [...new Set(data.lines.map(line => line.label))];
    const series = [...new Set(data.lines.filter(line => line.look === "series").map(line => line.label))];
    const look = ({label, look}) => look === "learning" ? {color: "var(--ink)", dash: null}
      : look === "retraining" ? {color: "var(--muted)", dash: "6 3"}
      : {color: SERIES[series.indexOf(label) % SERIES.length], dash: DASHES[series.indexOf(label) % DASHES.length]};
    const known = data.lines.flatMap(line => line.points.map(point => point[1])).filter(value => value !== null);
    const log = !data.percent && known.some(value => value > 0), say = data.percent ? percent : number;
    // What is so far below the largest value that it is rounding would leave no room for the rest.
    const floor = log ? 1e-10 * d3.max(known) : 0, tiny = line => line.points.every(([, y]) => y === null || y <= floor);
    const listed = data.lines.map(line => ({...line, points: line.points.map(([x, y]) => [x, log && y <= floor ? null : y])}));
    const points = listed.flatMap(({label, points}) => points.filter(([, y]) => y !== null).map(([x, y]) => ({x, y, said: `${label}\nround ${x}\n${data.title}: ${say(y)}`})));
    const y = log ? logScale(points.map(point => point.y)) : linearScale([0, ...known].slice(known.length ? 1 : 0), data.percent ? percent : plain);
    const last = Math.max(1, d3.max(points, point => point.x) ?? 1), first = Math.min(d3.min(points, point => point.x) ?? 0, last - 1);
    const drawn = plot(points, {
      width, height: Math.max(240, Math.min(320, .62 * width)), marginLeft: 52, marginRight: 16, marginTop: 8, marginBottom: 44,
      x: {domain: [first, last], axis: null}, y: y.scale,
      marks: [
        ...across(d3.ticks(first, last, 5).filter(Number.isInteger), String, "round"), ...upward(y, null),
        ...d3.sort(listed, line => line.look === "series").map(line => Plot.line(line.points, {stroke: look(line).color, strokeDasharray: look(line).dash, strokeWidth: 1.8})),
      ],
    });
    const keys = labels.map(label => {
      const own = data.lines.filter(line => line.label === label);
      return {...look(own[0]), label: log && own.every(tiny) ? `${label} (nothing but rounding)` : label};
    });
    return {...drawn, above: text("h3", data.title), below: legend(keys)};
  };
})();
