// The equity curve as SVG: drawn to the size that it has, so that letters are never stretched.

const NS = "http://www.w3.org/2000/svg";
const LEFT = 8, TOP = 12, BOTTOM = 26, MIN_LABEL_PX = 110;
const STEPS_S = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800];

function element(name, attributes, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function niceStep(span, count) {
  const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
}

function valueTicks(low, high) {
  const step = niceStep(high - low, 4), ticks = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) ticks.push(value);
  return { ticks, digits: Math.max(0, -Math.floor(Math.log10(step))) };
}

function timeTicks(first, last, count) {
  const seconds = (last - first) / 1000 / count;
  const step = (STEPS_S.find((each) => each >= seconds) ?? Math.ceil(seconds / 604800) * 604800) * 1000, ticks = [];
  for (let time = Math.ceil(first / step) * step; time <= last; time += step) ticks.push(time);
  const iso = (time) => new Date(time).toISOString();
  return ticks.map((time) => [time, step >= 86400000 ? iso(time).slice(5, 10) : step >= 60000 ? (last - first > 86400000
    ? iso(time).slice(5, 16).replace("T", " ") : iso(time).slice(11, 16)) : iso(time).slice(11, 19)]);
}

export class EquityChart {
  constructor(svg, format) {
    this.svg = svg;
    this.format = format;
    this.points = [];
    this.pointer = null;
    new ResizeObserver(() => this.draw()).observe(svg);
    svg.addEventListener("pointermove", (event) => { this.pointer = event.offsetX; this.draw(); });
    svg.addEventListener("pointerleave", () => { this.pointer = null; this.draw(); });
  }

  show(points) {
    this.points = points;
    this.draw();
  }

  draw() {
    const { svg, points } = this, width = svg.clientWidth, height = svg.clientHeight;
    svg.replaceChildren();
    if (!width) return;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (points.length < 2) {
      svg.append(element("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "The curve begins with the first prices."));
      return;
    }
    const values = points.map((point) => point.equity), first = points[0].t_ms, last = points.at(-1).t_ms;
    let low = Math.min(...values), high = Math.max(...values);
    const room = (high - low) * 0.08 || Math.abs(high) * 0.001 || 1;
    [low, high] = [low - room, high + room];
    const { ticks, digits } = valueTicks(low, high);
    const labels = ticks.map((tick) => this.format(tick, digits));
    const right = width - 14 - 7.2 * Math.max(...labels.map((label) => label.length));
    const x = (time) => LEFT + (time - first) / Math.max(last - first, 1) * (right - LEFT);
    const y = (value) => TOP + (high - value) / (high - low) * (height - TOP - BOTTOM);
    ticks.forEach((tick, place) => {
      svg.append(element("line", { class: "grid", x1: LEFT, x2: right, y1: y(tick), y2: y(tick) }));
      svg.append(element("text", { x: width - 4, y: y(tick) + 4, "text-anchor": "end" }, labels[place]));
    });
    for (const [time, label] of timeTicks(first, last, Math.max(1, Math.floor((right - LEFT) / MIN_LABEL_PX)))) {
      const at = Math.min(Math.max(x(time), LEFT + 18), right - 18);
      svg.append(element("text", { x: at, y: height - 7, "text-anchor": "middle" }, label));
    }
    const path = points.map((point) => `${x(point.t_ms).toFixed(1)},${y(point.equity).toFixed(1)}`).join("L");
    svg.append(element("path", { class: "area", d: `M${path}L${x(last)},${height - BOTTOM}L${x(first)},${height - BOTTOM}Z` }));
    svg.append(element("path", { class: "line", d: `M${path}` }));
    this.drawPointer({ x, y, right, height });
  }

  drawPointer({ x, y, right, height }) {
    if (this.pointer === null) return;
    const nearest = this.points.reduce((best, point) =>
      Math.abs(x(point.t_ms) - this.pointer) < Math.abs(x(best.t_ms) - this.pointer) ? point : best);
    const at = x(nearest.t_ms), isLeft = at > (LEFT + right) / 2;
    this.svg.append(element("line", { class: "cross", x1: at, x2: at, y1: TOP, y2: height - BOTTOM }));
    this.svg.append(element("circle", { class: "dot", cx: at, cy: y(nearest.equity), r: 4.5 }));
    const time = new Date(nearest.t_ms).toISOString().slice(0, 19).replace("T", " ");
    this.svg.append(element("text", { x: at + (isLeft ? -8 : 8), y: TOP + 10, "text-anchor": isLeft ? "end" : "start" },
      `${this.format(nearest.equity, 2)} at ${time}`));
  }
}
