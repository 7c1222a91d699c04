"use strict";
// What all charts share: numbers, looks, axes, legends, and the drawing of every box with the class "chart".
const rewindnet = (() => {
  const charts = {}, after = [];
  const SERIES = [0, 1, 2, 3, 4, 5].map(at => `var(--series-${at})`);
  const DASHES = [null, "7 3", "2 3", "8 3 2 3"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle", "star", "cross", "wye"];
  const json = id => JSON.parse(document.getElementById(id).textContent);

  const superscript = power => String(power).replace(/[-\d]/g, digit => digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
  const plain = value => {
    if (value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5)) return String(Number(value.toPrecision(6)));
    const [mantissa, power] = value.toExponential(0).split("e");
    return (mantissa === "1" ? "" : mantissa + "·") + "10" + superscript(Number(power));
  };
  const number = value => {
    const short = Number(value.toPrecision(4));
    return value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)
      ? short.toExponential().replace("e+", "e") : String(short);
  };
  // A certified ε is rounded up, so that nothing smaller is said than what is proven.
  const up = (value, digits = 4) => {
    const short = Number(value.toPrecision(digits));
    if (!(value > 0) || short >= value * (1 - 1e-9)) return short;
    return Number((short + 10 ** (Number(short.toExponential().split("e")[1]) - digits + 1)).toPrecision(digits));
  };
  const percent = share => Number((100 * share).toFixed(1)) + " %";
  // The labels of an axis of shares, with the digits that tell its ticks apart.
  const percentAt = ticks => {
    const step = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : 1, digits = Math.max(1, Math.ceil(-Math.log10(100 * step) - 1e-9));
    return share => (digits > 1 ? (100 * share).toFixed(digits) : Number((100 * share).toFixed(1))) + " %";
  };

  const text = (tag, content, name) => {
    const made = document.createElement(tag);
    if (content !== undefined) made.textContent = content;
    if (name) made.className = name;
    return made;
  };
  const legend = entries => {
    const list = text("ul", undefined, "legend");
    for (const {label, color, symbol, dash, hollow, turn} of entries) {
      const item = text("li"), key = d3.create("svg:svg").attr("width", 22).attr("height", 12).attr("aria-hidden", "true");
      if (dash !== undefined) key.append("path").attr("d", "M0 6H22").attr("stroke", color).attr("stroke-width", 2).attr("stroke-dasharray", dash);
      if (symbol) key.append("path").attr("transform", `translate(11,6)rotate(${turn || 0})`).attr("d", d3.symbol(shape(symbol), 52)())
        .attr("fill", hollow ? "none" : color).attr("stroke", color).attr("stroke-width", hollow ? 2 : 0);
      item.append(key.node(), label);
      list.append(item);
    }
    return list;
  };
  const shape = symbol => d3["symbol" + symbol[0].toUpperCase() + symbol.slice(1)];

  // One plot with a tip that says what is at the pointer. Each point has x, y and what is said of it.
  const plot = (points, options) => {
    const tip = Plot.tip(points, Plot.pointer({x: "x", y: "y", title: "said", maxRadius: 24, fill: "var(--page)", stroke: "var(--muted)", lineWidth: 26, fontSize: 13}));
    const svg = Plot.plot({
      style: {background: "none", color: "var(--ink)", fontFamily: "inherit", fontSize: "12px", overflow: "visible"},
      ...options, marks: [...options.marks, tip],
    });
    const [x, y] = [svg.scale("x"), svg.scale("y")];
    const marks = points.map(point => ({at: [x.apply(point.x), y.apply(point.y)], said: point.said}));
    return {svg, marks: marks.filter(mark => mark.at.every(Number.isFinite))};
  };

  // A logarithmic axis where all values are positive; its labels are plain numbers, 1, 2 and 5 where it is short.
  const logTicks = (low, high) => {
    const steps = high / low < 30 ? [1, 2, 5] : [1], found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const step of steps) if (step * 10 ** power >= low && step * 10 ** power <= high) found.push(step * 10 ** power);
    const every = Math.ceil(found.length / 7);
    return found.length < 2 ? [low, high].map(value => Number(value.toPrecision(2))) : found.filter((_, at) => at % every === 0);
  };
  const logScale = values => {
    const low = d3.min(values) / 1.15, high = d3.max(values) * 1.15;
    return {scale: {type: "log", domain: [low, high], axis: null}, ticks: logTicks(low, high), say: plain};
  };
  const linearScale = (values, say, count = 6) => {
    const [low, high] = d3.extent(values), around = say === percent ? [Math.max(0, low - .05), Math.min(1, low + .05)] : [low, low + 1];
    const domain = d3.nice(...(high > low ? [low, high] : around), count);
    const ticks = d3.ticks(...domain, count);
    return {scale: {domain, axis: null}, ticks, say: say === percent ? percentAt(ticks) : say};
  };
  // An axis with its grid. Labels are a channel of their own, because the formats of logarithmic scales drop some.
  const rule = {stroke: "var(--rule)", strokeOpacity: 1};
  const across = (ticks, say, label, labelOffset = 38) => [
    Plot.gridX(ticks, rule),
    Plot.axisX(ticks, {text: say, tickSize: 0, label, labelAnchor: "center", labelArrow: "none", labelOffset}),
  ];
  const upward = ({scale, ticks, say}, named) => {
    const label = named && scale?.type === "log" ? `${named} (logarithmic)` : named;
    return [Plot.gridY(ticks, rule), Plot.axisY(ticks, {text: say, tickSize: 0, label, labelArrow: "none"})];
  };

  const widthOf = (() => {
    const context = document.createElement("canvas").getContext("2d");
    return label => {
      context.font = "12px " + getComputedStyle(document.body).fontFamily;
      return context.measureText(label).width;
    };
  })();

  // Arrow keys go from mark to mark, as the pointer does.
  const keys = (box, drawn) => {
    const marks = drawn.flatMap(({svg, marks}) => marks.map(mark => ({...mark, svg})));
    const status = text("p", undefined, "visually-hidden");
    status.setAttribute("role", "status");
    let at = -1;
    box.onkeydown = event => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (event.key === "Escape" && at >= 0) marks[at].svg.dispatchEvent(new PointerEvent("pointerleave", {pointerType: "mouse"}));
      if (!step || !marks.length || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      if (at >= 0) marks[at].svg.dispatchEvent(new PointerEvent("pointerleave", {pointerType: "mouse"}));
      at = (at + step + marks.length + (at < 0 && step < 0)) % marks.length;
      const mark = marks[at], place = new DOMPoint(...mark.at).matrixTransform(mark.svg.getScreenCTM());
      mark.svg.dispatchEvent(new PointerEvent("pointermove", {clientX: place.x, clientY: place.y, pointerType: "mouse"}));
      status.textContent = mark.said;
    };
    return status;
  };

  const draw = (box, data) => {
    const drawn = [charts[box.dataset.chart](data, box.clientWidth, box)].flat();
    drawn.forEach(({svg}) => svg && svg.setAttribute("aria-hidden", "true"));
    box.replaceChildren(...drawn.flatMap(({above, svg, below}) => {
      const part = text("div", undefined, "plot");
      part.append(...[above, svg, below].filter(Boolean));
      return part;
    }), keys(box, drawn.filter(({svg}) => svg)));
  };
  const start = () => {
    const watch = new ResizeObserver(entries => entries.forEach(({target}) => {
      if (target.drawnAt === target.clientWidth || !target.clientWidth) return;
      target.drawnAt = target.clientWidth;
      draw(target, target.content);
      after.forEach(act => act());
    }));
    for (const box of document.querySelectorAll(".chart")) {
      box.content = json(box.dataset.source);
      box.drawnAt = box.clientWidth;
      draw(box, box.content);
      watch.observe(box);
    }
    after.forEach(act => act());
  };
  const again = box => draw(box, box.content);
  return {charts, after, again, SERIES, DASHES, SYMBOLS, json, plain, number, up, percent, text, legend, plot, logScale, linearScale, logTicks, across, upward, widthOf, start};
})();
