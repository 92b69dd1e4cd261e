// How the service is: its state, what waits, how much it predicts and how long that takes.

import { ApiError, ask, parse } from "./api.js";
import { duration } from "./answer.js";
import { find, make } from "./dom.js";
import { Plot } from "./plot.js";

const EVERY_MILLISECONDS = 2000;
const KINDS = ["sync", "async"];

const plots = {
  queued: new Plot("Waiting in the queue", (value) => value.toLocaleString("en")),
  rate: new Plot("Predictions", (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`),
  queueTime: new Plot("Time in the queue", duration),
  time: new Plot("Time to predict", duration),
};

/** Begin to watch; `refused` is called when a key is asked for. */
export function watch(refused) {
  find("plots").append(...Object.values(plots).map((plot) => plot.element));
  let before = null;
  const look = async () => {
    if (!document.hidden) before = await lookOnce(before, refused);
    setTimeout(look, EVERY_MILLISECONDS);
  };
  look();
}

async function lookOnce(before, refused) {
  let answer;
  try {
    answer = await ask("health/load");
  } catch {
    show({ state: "DOWN", text: "not reachable" }, []);
    return null;
  }
  const load = parse(answer.text);
  if (answer.status === 401) {
    refused();
    return null;
  }
  if (answer.status >= 400 && load?.ready === undefined) {
    const error = new ApiError(answer.status, load);
    show({ state: "ERROR", text: "not ready" }, [["API", "UP", ""], ["Redis", "DOWN", error.message]]);
    for (const plot of Object.values(plots)) plot.add(undefined);
    return null;
  }
  show(summary(load), services(load));
  if (load.queues) plotLoad(load, before);
  return load.queues ? load : null;
}

function summary(load) {
  if (load.ready) return { state: "UP", text: "ready" };
  const isLoading = load.workers.some((worker) => worker.state === "LOADING");
  return isLoading ? { state: "LOADING", text: "loading the model" } : { state: "ERROR", text: "not ready" };
}

function services(load) {
  const rows = [["API", "UP", ""], ["Redis", load.redis, ""]];
  if (load.workers.length === 0) rows.push(["Worker", "DOWN", "No worker is there"]);
  for (const worker of load.workers) rows.push([worker.name, worker.state, worker.detail]);
  if (load.callbacks) {
    const { pending, crowded, failed } = load.callbacks;
    const isThere = load.processes.some((each) => each.service === "callbacks" && each.processes > 0);
    const waiting = pending + crowded;
    const detail = [waiting ? `${waiting} to deliver` : "", failed ? `${failed} given up` : ""];
    rows.push(["Callbacks", isThere ? "UP" : "DOWN", detail.filter(Boolean).join(", ")]);
  }
  return rows;
}

function show({ state, text }, rows) {
  const pill = find("state");
  if (pill.textContent !== text) pill.textContent = text;
  pill.dataset.state = state;
  const items = rows.map(([name, each, detail]) =>
    make("li", {},
      make("span", { className: "dot", "data-state": each, "aria-hidden": "true" }),
      make("span", { className: "service-name" }, name),
      make("span", { className: "service-state" }, each),
      make("span", { className: "hint" }, detail)));
  find("services").replaceChildren(...items);
}

/** Add up a figure of both kinds of requests. */
const sum = (load, figure) => KINDS.reduce((total, kind) => total + figure(load.queues[kind]), 0);

function plotLoad(load, before) {
  plots.queued.add(sum(load, (queue) => queue.length));
  const predictions = (queue) => Object.values(queue.predictions).reduce((total, each) => total + each, 0);
  const seconds = before ? load.time - before.time : 0;
  const since = (figure) => (before && seconds > 0 ? sum(load, figure) - sum(before, figure) : undefined);
  const made = since(predictions);
  plots.rate.add(made === undefined || made < 0 ? undefined : made / seconds);
  for (const [plot, name] of [[plots.queueTime, "queue_seconds"], [plots.time, "prediction_seconds"]]) {
    const count = since((queue) => queue[name].count);
    const total = since((queue) => queue[name].sum);
    plot.add(count > 0 ? (total / count) * 1000 : undefined);
  }
}
