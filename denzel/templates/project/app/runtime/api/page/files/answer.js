// How an answer is shown: its status, time and task, and its JSON with the images in it.

import { copy, make } from "./dom.js";
import { Literal, parse, stringify } from "./json.js";

const IMAGES = { iVBORw0KGgo: "image/png", "/9j/": "image/jpeg", R0lGOD: "image/gif", UklGR: "image/webp" };
/** How base64 of each kind of image begins. */
const MOST_IMAGES = 12;
const MOST_CHARACTERS = 200_000;

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d[\d.eE+-]*)/g;

/** Return an element that shows a JSON text, in colours. */
export function showJson(text, label) {
  let pretty = text;
  try {
    pretty = stringify(parse(text));
  } catch {
    // It is shown as it came.
  }
  const code = make("code", {});
  if (pretty.length > MOST_CHARACTERS) {
    code.append(`${pretty.slice(0, MOST_CHARACTERS)}\n… ${pretty.length} characters in all`);
  } else {
    colour(code, pretty);
  }
  return make("pre", { className: "code", tabIndex: 0, "aria-label": label }, code);
}

function colour(code, text) {
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const [whole, string, colon, word] = match;
    code.append(text.slice(end, match.index));
    const kind = string ? (colon ? "name" : "string") : word ? "word" : "number";
    const shown = string ?? whole;
    code.append(make("span", { className: `json-${kind}` }, shown), whole.slice(shown.length));
    end = match.index + whole.length;
  }
  code.append(text.slice(end));
}

/** Yield the images in a value, with the names they stand under. */
function* imagesIn(value, path = "") {
  if (typeof value === "string" && value.length > 40) {
    const start = Object.keys(IMAGES).find((each) => value.startsWith(each));
    if (start) yield [path, `data:${IMAGES[start]};base64,${value}`];
    else if (value.startsWith("data:image/")) yield [path, value];
  } else if (typeof value === "object" && value !== null && !(value instanceof Literal)) {
    for (const [name, item] of Object.entries(value)) yield* imagesIn(item, path ? `${path}.${name}` : name);
  }
}

/** Return what shows a prediction, images first. */
export function showPrediction(text) {
  const gallery = make("div", { className: "gallery" });
  try {
    for (const [path, source] of imagesIn(parse(text))) {
      if (gallery.childElementCount === MOST_IMAGES) break;
      gallery.append(make("figure", {}, make("img", { src: source, alt: `The image ${path}` }), make("figcaption", {}, path)));
    }
  } catch {
    // It is no JSON.
  }
  const parts = [showJson(text, "The prediction, as JSON")];
  if (gallery.childElementCount) parts.unshift(gallery);
  return parts;
}

/** Show pieces of a prediction in `place` as they come: `add` takes one, `shown` returns what shows them, if any came. */
export function showPieces(place) {
  const box = make("pre", { className: "code", tabIndex: 0, "aria-label": "The pieces, as they came" });
  return {
    add(json) {
      if (!box.isConnected) place.replaceChildren(box);
      const piece = JSON.parse(json);
      box.append(typeof piece === "string" ? piece : `${json}\n`);
    },
    shown: () => (box.hasChildNodes() ? [box] : []),
  };
}

/** Return what shows a prediction that is no JSON: an image, or a link to save it. */
export function showBlob(blob) {
  const url = URL.createObjectURL(blob);
  const name = `prediction.${blob.type.split(/[/;+]/)[1] ?? "bin"}`;
  const link = make("a", { href: url, download: name, className: "button quiet" }, `Save ${name}`);
  const parts = [make("p", {}, `${blob.type}, ${blob.size.toLocaleString("en")} bytes `, link)];
  if (blob.type.startsWith("image/")) {
    const image = make("img", { src: url, alt: "The prediction" });
    parts.unshift(make("div", { className: "gallery" }, make("figure", {}, image)));
  }
  return parts;
}

/** Return the line above an answer: what came, after how long, of which task. */
export function showHead({ status, statusText, milliseconds, taskId }) {
  const kind = status >= 500 ? "bad" : status >= 400 ? "warn" : "good";
  const items = [make("span", { className: `pill ${kind}` }, `${status} ${statusText}`.trim())];
  if (milliseconds !== undefined) items.push(make("span", { className: "time" }, duration(milliseconds)));
  if (taskId) {
    const button = make("button", { type: "button", className: "quiet small" }, "Copy");
    button.setAttribute("aria-label", "Copy the task's id");
    button.addEventListener("click", () => copy(taskId, button));
    items.push(make("span", { className: "task" }, "task ", make("code", {}, taskId), button));
  }
  return make("div", { className: "answer-head" }, ...items);
}

/** Return what shows an error of the API, or of the way to it. */
export function showError(error) {
  const title = error.title || "No answer";
  const box = make("div", { className: "failure" }, make("h3", {}, title), make("p", {}, error.message));
  const [hint, link] = HINTS[error.title] ?? [];
  if (hint) box.append(make("p", { className: "hint" }, hint, link ? make("code", {}, link) : null));
  return box;
}

const HINTS = {
  "Prediction timed out": ["Ask for an asynchronous response, or wait longer: ", "denzel response --sync --timeout SECONDS"],
  "Prediction failed": ["The worker's log has the traceback: ", "denzel logworker"],
  "Broken pipeline": ["Try it without services: ", "denzel check"],
  "Model unavailable": ["How far it is: ", "denzel status"],
  "Queue unavailable": ["How the services are: ", "denzel status"],
  "Foreign origin": ["A proxy in between changes the Host header; it must pass on the one it gets."],
};

export function duration(milliseconds) {
  if (milliseconds < 1000) return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)} s`;
}
