// Small plots of the last minutes, as SVG.

import { make } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 48;
const SAMPLES = 90;
const SVG = "http://www.w3.org/2000/svg";

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** A plot of one figure: `add` takes its next value, undefined where it is not known. */
export class Plot {
  constructor(title, format) {
    this.format = format;
    this.values = [];
    this.title = title;
    this.now = make("strong", {}, "–");
    this.top = make("span", { className: "top" });
    this.area = draw("path", { class: "area" });
    this.line = draw("path", { class: "line" });
    this.picture = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title });
    this.picture.append(this.area, this.line);
    this.element = make("figure", { className: "plot" },
      make("figcaption", {}, make("span", {}, title), this.now), this.picture, this.top);
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > SAMPLES) this.values.shift();
    const known = this.values.filter((each) => each !== undefined);
    const highest = Math.max(...known, 0);
    this.now.textContent = value === undefined ? "–" : this.format(value);
    this.top.textContent = known.length ? `highest ${this.format(highest)}` : "";
    this.picture.setAttribute("aria-label", `${this.title}: ${this.now.textContent}, ${this.top.textContent}`);
    this.drawLine(highest || 1);
  }

  drawLine(highest) {
    const step = WIDTH / (SAMPLES - 1);
    const first = SAMPLES - this.values.length;
    let line = "";
    let area = "";
    let begun = null;
    const end = (x) => {
      if (begun !== null) area += `L${x.toFixed(1)},${HEIGHT}L${begun.toFixed(1)},${HEIGHT}Z`;
      begun = null;
    };
    let x = 0;
    this.values.forEach((value, index) => {
      if (value === undefined) return end(x);
      x = (first + index) * step;
      const y = HEIGHT - 2 - (value / highest) * (HEIGHT - 6);
      const move = begun === null ? "M" : "L";
      begun ??= x;
      // A value without neighbours is a dot: as short a line as there is.
      line += `${move}${x.toFixed(1)},${y.toFixed(1)}${move === "M" ? "h.1" : ""}`;
      area += `${move}${x.toFixed(1)},${y.toFixed(1)}`;
    });
    end(x);
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
  }
}
