"use strict";
// Test accuracy against certified ε, and the front that no release lies above.
(() => {
  const {charts, SERIES, SYMBOLS, plain, number, up, percent, legend, plot, across, upward, linearScale} = rewindnet;
  charts.pareto = (data, width) => {
    const {axis} = data, look = release => {
      const at = data.releases.indexOf(release);
      return {color: SERIES[at % SERIES.length], symbol: SYMBOLS[at % SYMBOLS.length]};
    };
    const points = data.marks.map(mark => ({
      ...mark, x: mark.place, y: mark.accuracy,
      said: `${mark.release}${mark.run ? `\n${mark.run}` : ""}\ncertified ε: ${number(up(mark.epsilon))}\ntest accuracy: ${percent(mark.accuracy)}`,
    }));
    const ticks = [axis.zero, ...axis.ticks], y = linearScale(points.map(point => point.y), percent);
    const drawn = plot(points, {
      width, height: Math.max(260, Math.min(360, .62 * width)), marginLeft: 52, marginRight: 24, marginTop: 28, marginBottom: 46,
      x: {type: "log", domain: [axis.zero / 1.6, axis.most], axis: null},
      y: y.scale,
      marks: [
        ...across(ticks, at => at === axis.zero ? "0" : plain(at), "certified ε"), ...upward(y, "test accuracy, mean over nodes"),
        Plot.line(data.front, {curve: "step-after", stroke: "var(--muted)", strokeWidth: 1.2}),
        ...data.releases.map(release => {
          const {color, symbol} = look(release);
          return Plot.dot(points.filter(point => point.release === release), {x: "x", y: "y", symbol, r: 5.5, fill: color, stroke: "var(--page)", strokeWidth: .8});
        }),
        Plot.text(points, {x: "x", y: "y", text: "label", textAnchor: "start", dx: 8, dy: -8, fill: "var(--ink)", stroke: "var(--page)", strokeWidth: 3}),
      ],
    });
    return {...drawn, below: legend(data.releases.map(release => ({label: release, ...look(release)})))};
  };
})();
