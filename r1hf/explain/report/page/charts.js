"use strict";
// Curves by uPlot, each drawn when it comes into view.
const charts = {drawn: []};

charts.start = (data) => {
  const holders = [...document.querySelectorAll("[data-plot]")];
  const look = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) {
      look.unobserve(one.target);
      charts.draw(one.target, data[one.target.dataset.plot]);
    }
  }, {rootMargin: "300px"});
  holders.forEach((holder) => look.observe(holder));
  const all = () => holders.filter((holder) => !holder.firstChild)
    .forEach((holder) => charts.draw(holder, data[holder.dataset.plot]));
  addEventListener("beforeprint", all);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.drawn.forEach((one) => one.redraw()));
};

charts.draw = (holder, plot) => {
  if (!plot || holder.firstChild) return;
  const tables = plot.lines.map((line) => [line.x, line.y, line.s]);
  const readout = holder.parentElement.querySelector(".readout");
  const size = () => ({width: Math.max(120, holder.clientWidth), height: 150});
  const drawing = new uPlot(charts.options(plot, size(), readout), uPlot.join(tables), holder);
  charts.drawn.push(drawing);
  new ResizeObserver(() => {
    const wanted = size();
    if (Math.abs(wanted.width - drawing.width) > 1) drawing.setSize(wanted);
  }).observe(holder);
};

charts.options = (plot, size, readout) => ({
  ...size,
  padding: [6, 12, 0, 0],
  legend: {show: false},
  cursor: {y: false, drag: {x: false, y: false}, points: {size: 5}, sync: plot.group ? {key: plot.group} : undefined},
  scales: {
    x: {time: false, range: (_, low, high) => [0, Math.max(plot.last || 0, high, 1)]},
    y: {range: (_, low, high) => charts.range(plot, low, high)},
  },
  axes: [
    {...charts.axis, size: 22, space: 50, grid: {show: false}, values: (_, ticks) => ticks.map(page.number)},
    {...charts.axis, size: 42, space: 26, grid: {stroke: () => page.colour("rule"), width: 1},
      values: (_, ticks) => ticks.map((tick) => (plot.percent ? `${Math.round(100 * tick)}%` : page.number(tick)))},
  ],
  series: [{}, ...plot.lines.flatMap(charts.pair)],
  hooks: {setCursor: [(drawing) => charts.read(drawing, plot, readout)]},
});

charts.axis = {
  font: "10px system-ui, sans-serif",
  stroke: () => page.colour("soft"),
  ticks: {stroke: () => page.colour("rule"), width: 1, size: 3},
  gap: 3,
};

// The faint line is what was logged, the strong one is smoothed.
charts.pair = (line) => {
  const few = line.x.length < 9;
  const colour = () => page.colour(line.css);
  return [
    {stroke: () => `${colour()}${few ? "" : "55"}`, width: 1, spanGaps: true, points: {show: few, size: 4, fill: colour}},
    {stroke: colour, width: 1.8, spanGaps: true, points: {show: false}, show: line.x.length > 1},
  ];
};

charts.range = (plot, low, high) => {
  const bottom = Math.min(...[low, plot.low].filter((one) => one !== null && one !== undefined));
  const top = Math.max(...[high, plot.high].filter((one) => one !== null && one !== undefined));
  if (!Number.isFinite(bottom) || !Number.isFinite(top)) return [0, 1];
  const room = (top - bottom) * 0.06 || Math.abs(top) || 1;
  return [bottom === plot.low ? bottom : bottom - room, top === plot.high ? top + room / 6 : top + room];
};

charts.read = (drawing, plot, readout) => {
  if (!readout) return;
  const at = drawing.cursor.idx;
  if (at === null || at === undefined || drawing.cursor.left < 0) {
    readout.textContent = "";
    return;
  }
  const say = (value) => (plot.percent ? page.percent(value) : page.number(value));
  const values = plot.lines.map((_, place) => say(drawing.data[1 + 2 * place][at]));
  readout.textContent = `step ${page.number(drawing.data[0][at])}: ${values.join(" · ")}`;
};
