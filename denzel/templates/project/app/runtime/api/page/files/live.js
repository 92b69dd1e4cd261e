// An asynchronous request, from the moment it is accepted until its callback is delivered.

import { ask, askJson, errorOf, parse } from "./api.js";
import { duration, showBlob, showError, showHead, showJson, showPrediction } from "./answer.js";
import { make, newId } from "./dom.js";

const QUICK_MILLISECONDS = 200;
const SLOW_MILLISECONDS = 1000;
const QUICK_FOR_MILLISECONDS = 10_000;
/** The page's own receiver (app/runtime/callbacks/page_receiver.py). */
const RECEIVER = "http://page.denzel.invalid/";

const STEPS = ["Accepted", "Begun by a worker", "Ended", "Callback delivered"];

/** Return a callback URI that leads to this page, and the token by which to ask for what came. */
export function ownReceiver() {
  const token = uuid();
  return { uri: RECEIVER + token, token };
}

/** Return a random UUID; crypto.randomUUID is there only over HTTPS and on localhost. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

/** The list of steps; `reach(n)` marks step n as reached now. */
class Timeline {
  constructor(started, steps) {
    this.started = started;
    this.items = steps.map((name) => {
      const time = make("span", { className: "time" });
      return { time, item: make("li", {}, make("span", {}, name), time) };
    });
    this.element = make("ol", { className: "timeline" }, ...this.items.map(({ item }) => item));
    this.reached = -1;
  }

  reach(step, note = "", bad = false) {
    for (let each = this.reached + 1; each <= step; each++) {
      const { item, time } = this.items[each];
      item.dataset.reached = "true";
      if (bad && each === step) item.dataset.bad = "true";
      if (each === step) time.textContent = `${note} ${duration(performance.now() - this.started)}`.trim();
    }
    this.reached = Math.max(this.reached, step);
  }
}

/**
 * Follow a task in `place` until nothing more will happen to it, or `signal` is aborted.
 * `token` is that of the page's own receiver, empty for none; `hasCallback` whether there is any.
 */
export async function follow(place, { taskId, started, token, hasCallback, signal }) {
  const timeline = new Timeline(started, hasCallback ? STEPS : STEPS.slice(0, 3));
  timeline.reach(0);
  const cancel = make("button", { type: "button", className: "quiet", onclick: () => cancelTask(taskId, problem) }, "Cancel it");
  const problem = make("p", { className: "error", role: "alert", hidden: true });
  const outcome = make("div", {});
  place.replaceChildren(
    showHead({ status: 200, statusText: "accepted", taskId }),
    timeline.element, make("p", {}, cancel), problem, outcome,
  );
  let hasEnded = false;
  while (!signal.aborted) {
    const answer = await ask(`status/${encodeURIComponent(taskId)}`);
    if (signal.aborted) return;
    const error = errorOf(answer);
    if (error) {
      outcome.replaceChildren(showError(error));
      cancel.hidden = true;
      return;
    }
    const task = parse(answer.text);
    if (task.started) timeline.reach(1);
    if (task.status !== "PENDING" && !hasEnded) {
      hasEnded = true;
      cancel.hidden = true;
      timeline.reach(2, task.status === "SUCCESS" ? "" : task.status, task.status !== "SUCCESS");
      outcome.append(...(task.file ? await showFile(taskId) : showOutcome(task, answer.text)));
    }
    if (hasEnded && (!hasCallback || (await showCallback(task.callback, token, timeline, outcome)))) return;
    const quick = performance.now() - started < QUICK_FOR_MILLISECONDS;
    await new Promise((resolve) => setTimeout(resolve, quick ? QUICK_MILLISECONDS : SLOW_MILLISECONDS));
  }
}

/** Show a prediction that is no JSON, and so stands elsewhere. */
async function showFile(taskId) {
  const answer = await ask(`status/${encodeURIComponent(taskId)}/result`);
  const error = errorOf(answer);
  return error ? [showError(error)] : showBlob(answer.blob);
}

function showOutcome(task, text) {
  if (task.status === "SUCCESS") return showPrediction(resultIn(text));
  const { type, args } = task.result;
  const title = task.status === "REVOKED" ? "Cancelled" : type;
  return [showError({ title, message: (args ?? []).map(String).join(", ") })];
}

/** Return the text of the result in /status's answer, its numbers as they are written. */
function resultIn(text) {
  const start = text.indexOf('"result":') + '"result":'.length;
  let depth = 0;
  let quoted = false;
  for (let at = start; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character === "\\") at++;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === "{" || character === "[") depth++;
    else if ((character === "}" || character === "]") && --depth === 0) return text.slice(start, at + 1);
  }
  return text;
}

/** Show where a callback stands; return whether that is final. */
async function showCallback(callback, token, timeline, place) {
  if (!callback || callback.state === "PENDING") {
    if (callback?.attempts) timeline.items[3].time.textContent = `${callback.attempts} failed attempts, trying again`;
    return false;
  }
  const isDelivered = callback.state === "DELIVERED";
  timeline.reach(3, isDelivered ? "" : "given up", !isDelivered);
  if (isDelivered && token) place.append(await showReceived(token));
  return true;
}

async function showReceived(token) {
  const title = make("h3", { id: newId() }, "The callback");
  const section = make("section", { className: "callback" }, title);
  section.setAttribute("aria-labelledby", title.id);
  try {
    const { headers, body, bytes } = await askJson(`page/received/${token}`);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    section.append(
      make("p", { className: "hint" }, "What a receiver gets. This one is the page's own, inside the deployment: nothing went over a network."),
      make("pre", { className: "code", tabIndex: 0, "aria-label": "The callback's head" }, `POST\n${lines.join("\n")}`),
      body === null ? make("p", {}, `A body of ${bytes} bytes`) : showJson(body, "The callback's body"),
    );
  } catch (error) {
    section.append(showError(error));
  }
  return section;
}

async function cancelTask(taskId, problem) {
  try {
    await askJson(`cancel/${encodeURIComponent(taskId)}`, { method: "POST" });
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
}
