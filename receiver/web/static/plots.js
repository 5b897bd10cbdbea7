/* Draws the plots of the activity page from their `data-plot`. */
"use strict";

const HEIGHT = 220;
const TIME_FORMAT = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
const drawn = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function inZone(seconds) {
  const date = new Date(seconds * 1000);
  return zone.local ? date : uPlot.tzDate(date, "Etc/UTC");
}

function formatted(seconds, form) {
  const place = zone.local ? {} : { timeZone: "UTC" };
  return new Intl.DateTimeFormat(undefined, { ...form, ...place, hourCycle: "h23" }).format(seconds * 1000);
}

function shortTime(seconds, index, all) {
  const time = formatted(seconds, { hour: "2-digit", minute: "2-digit" });
  const isDay = time === "00:00" || (all.length > 1 && all[1] - all[0] >= 86400);
  return isDay ? formatted(seconds, { day: "numeric", month: "short" }) : time;
}

function valueText(value, line, unit) {
  if (value === null || value === undefined) return "—";
  return value.toLocaleString() + (line.share ? " %" : unit ? ` ${unit}` : "");
}

function seriesOf(line, unit) {
  return {
    label: line.label,
    scale: line.share ? "%" : "y",
    stroke: colour(line.colour),
    width: line.share ? 1.5 : 2,
    dash: line.share ? [5, 4] : undefined,
    paths: uPlot.paths.stepped({ align: 1 }),
    points: { show: line.values.includes(null), size: 4 },
    spanGaps: false,
    value: (_, value) => valueText(value, line, unit),
  };
}

function axis(scale, side) {
  return {
    scale, side,
    stroke: colour("soft"),
    grid: { stroke: colour("line"), width: 1, show: scale !== "%" || side === 3 },
    ticks: { stroke: colour("line"), width: 1 },
    values: (_, values) => values.map((value) => value.toLocaleString() + (scale === "%" ? " %" : "")),
    size: 62,
  };
}

/* A bucket is drawn from its start to the next one's, so the last one needs an end. */
function toEnd(values, length) {
  const last = values[values.length - 1];
  return [...values, last === null ? null : last + length];
}

function draw(place) {
  const plot = JSON.parse(place.dataset.plot);
  const shares = plot.lines.some((line) => line.share);
  const counts = plot.lines.some((line) => !line.share);
  const upward = { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] };
  const axes = [{
    stroke: colour("soft"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
    values: (_, splits) => splits.map(shortTime),
  }];
  if (counts) axes.push(axis("y", 3));
  if (shares) axes.push(axis("%", counts ? 1 : 3));
  drawn.get(place)?.destroy();
  drawn.set(place, new uPlot({
    width: place.clientWidth,
    height: HEIGHT,
    tzDate: inZone,
    scales: { x: { time: true }, y: upward, "%": upward },
    series: [{ label: "From", value: (_, seconds) => seconds === null ? "—" : formatted(seconds, TIME_FORMAT) }]
      .concat(plot.lines.map((line) => seriesOf(line, plot.unit))),
    axes,
    cursor: { drag: { x: false, y: false } },
    legend: { live: true },
  }, [toEnd(plot.times, plot.step), ...plot.lines.map((line) => toEnd(line.values, 0))], place));
}

function drawAll() {
  for (const place of document.querySelectorAll(".plot")) draw(place);
}

document.addEventListener("refreshed", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) drawAll();
  width = innerWidth;
});
drawAll();
