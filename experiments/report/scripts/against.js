"use strict";
// ε, noise or accuracy against rewind depth or another setting: one line for each series, and a mark for each run.
(() => {
  const {charts, SERIES, DASHES, number, up, plain, percent, legend, plot, logScale, linearScale, logTicks, across, upward} = rewindnet;
  // The axis of the setting: shares from 0 to 100 %, or the values that were given; log-scaled where they span much.
  const axis = ({label, percent: shares}, values) => {
    if (shares) return {scale: {domain: [-.02, 1.02], axis: null}, ticks: [0, .2, .4, .6, .8, 1], say: percent, label};
    const [low, high] = d3.extent(values), log = low > 0 && high > 20 * low;
    if (log) return {scale: {type: "log", domain: [low / 1.15, high * 1.15], axis: null}, ticks: logTicks(low, high), say: plain, label};
    const margin = .02 * (high - low || 1);
    return {scale: {domain: [low - margin, high + margin], axis: null}, ticks: d3.ticks(low, high, 6), say: plain, label};
  };
  charts.against = (data, width) => {
    const certified = data.value.startsWith("certified ε");
    const say = data.percent ? percent : value => number(certified ? up(value) : value), sayX = data.across.percent ? percent : number;
    const look = at => ({color: SERIES[at % SERIES.length], dash: DASHES[at % DASHES.length]});
    const listed = data.series.map(line => ({...line, points: line.points.filter(([, y]) => y > 0 || data.percent && y === 0)}));
    const points = listed.flatMap(({label, points}, at) => points.map(([x, y]) => ({x, y, at, said: `${label}\n${data.across.label} ${sayX(x)}\n${data.value}: ${say(y)}`})));
    const marks = listed.flatMap(({marks}, at) => marks.map(([x, y]) => ({x, y, at})));
    const values = [...points, ...marks].map(point => point.y).concat(data.level ?? []);
    const y = data.percent ? linearScale(values, percent) : logScale(values), x = axis(data.across, [...points, ...marks].map(point => point.x));
    const drawn = plot(points, {
      width, height: Math.max(260, Math.min(360, .62 * width)), marginLeft: 52, marginRight: 20, marginTop: 28, marginBottom: 46,
      x: x.scale, y: y.scale,
      marks: [
        ...across(x.ticks, x.say, x.label), ...upward(y, data.value),
        Plot.ruleY(data.level === null ? [] : [data.level], {stroke: "var(--muted)", strokeDasharray: "6 3"}),
        ...listed.map(({level}, at) => Plot.ruleY(level === null ? [] : [level], {stroke: look(at).color, strokeDasharray: "1 3"})),
        ...listed.map(({points}, at) => Plot.line(points, {stroke: look(at).color, strokeDasharray: look(at).dash, strokeWidth: 2})),
        Plot.dot(marks, {x: "x", y: "y", r: 4.5, fill: mark => look(mark.at).color, stroke: "var(--page)"}),
      ],
    });
    return {...drawn, below: legend(listed.map(({label}, at) => ({label, dash: look(at).dash, color: look(at).color})))};
  };
})();
