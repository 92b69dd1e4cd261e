// The page: put together from the API's own description.

import { EVENT_STREAM, ask, askJson, errorOf, key, parse as parsePlain } from "./api.js";
import { showBlob, showError, showHead, showPieces, showPrediction } from "./answer.js";
import { copy, find, say, wireTabs } from "./dom.js";
import { Unreadable } from "./fields.js";
import { canMakeForm, makeForm, markError } from "./form.js";
import { parse, stringify } from "./json.js";
import { follow, ownReceiver } from "./live.js";
import { watch } from "./service.js";
import { FILE, isLong, snippet } from "./snippets.js";

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** What the page works with: the description, the form if there is one, the language of the code. */
const page = { description: null, config: {}, form: null, shownTab: "json", language: "curl", needsKey: false, following: null };

async function start() {
  try {
    [page.description, page.config] = await Promise.all([askJson("openapi.json"), askJson("page/config")]);
  } catch (error) {
    say(find("notice"), `The API cannot be asked: ${error.message}`);
    return;
  }
  const { info, security } = page.description;
  page.needsKey = Boolean(security);
  document.title = info.title;
  find("project").textContent = info.title;
  find("info").textContent = info.description ?? "";
  find("key-button").hidden = !page.needsKey;
  showMonitor();
  wireRequest();
  wireKey();
  watch(() => openKeyDialog(""));
}

/** Link to Flower: at its path behind the same proxy, or at its port where this browser reaches it. */
function showMonitor() {
  const { port, prefix, is_local } = page.config.monitor;
  if (!prefix && is_local && !LOOPBACK.includes(location.hostname)) return;
  const link = find("monitor");
  link.href = prefix ? `${location.origin}${prefix}/` : `http://${location.hostname}:${port}/`;
  link.hidden = false;
}

// -------- The request --------

function wireRequest() {
  const schema = page.description.components.schemas.PredictionRequest;
  find("json").value = page.config.example ?? "{\n}";
  if (page.config.is_async) document.querySelector('[name="delivery"][value="async"]').checked = true;
  const hasForm = canMakeForm(schema, page.description);
  const takesFiles = "*/*" in page.description.paths["/predict"].post.requestBody.content;
  find("tab-form").hidden = !hasForm;
  find("tab-file").hidden = !takesFiles;
  find("request-tabs").hidden = !(hasForm || takesFiles);
  const chooseRequestTab = wireTabs(find("request-tabs"), (tab) => showTab(tab.id.slice("tab-".length)));
  if (hasForm) fillForm();
  chooseRequestTab(find(hasForm ? "tab-form" : page.config.example || !takesFiles ? "tab-json" : "tab-file"));
  wireTabs(find("code-tabs"), (tab) => {
    page.language = tab.id.slice("tab-".length);
    find("panel-code").setAttribute("aria-labelledby", tab.id);
    showCode();
  });
  const form = find("request");
  form.addEventListener("input", changed);
  form.addEventListener("change", changed);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    predict();
  });
  find("reset").addEventListener("click", reset);
  find("json-file").addEventListener("change", openFile);
  find("copy").addEventListener("click", () => copy(find("code").textContent, find("copy")));
  changed();
}

/** Make the form anew, filled with what the JSON says. */
function fillForm() {
  const schema = page.description.components.schemas.PredictionRequest;
  let value;
  try {
    value = parse(find("json").value);
  } catch {
    value = {};
  }
  page.form = makeForm(schema, value, page.description);
  find("panel-form").replaceChildren(page.form.element);
}

function showTab(name) {
  if (name === page.shownTab) return;
  if (page.shownTab === "form") {
    try {
      find("json").value = stringify(page.form.read());
    } catch {
      // What the form cannot tell yet stays as it was in the JSON.
    }
  }
  if (name === "form") fillForm();
  page.shownTab = name;
  for (const each of ["form", "json", "file"]) find(`panel-${each}`).hidden = name !== each;
  changed();
}

function reset() {
  find("json").value = page.config.example ?? "{\n}";
  if (page.shownTab === "form") fillForm();
  say(find("request-error"), "");
  changed();
}

async function openFile() {
  const [file] = find("json-file").files;
  if (!file) return;
  find("json").value = await file.text();
  find("json-file").value = "";
  changed();
}

function changed() {
  const isAsync = delivery() === "async";
  find("callback-choice").hidden = !isAsync;
  find("callback-uri").hidden = find("callback").value !== "uri";
  showCode();
}

const delivery = () => document.querySelector('[name="delivery"]:checked').value;

/** Return the request as { text, value, token }, or { file, field, value, token }; throws Unreadable or SyntaxError. */
function readRequest({ forCode }) {
  if (page.shownTab === "file") return readFile({ forCode });
  let value = page.shownTab === "form" ? page.form.read() : parse(find("json").value);
  let token = "";
  if (delivery() === "async" && typeof value === "object" && value !== null && !Array.isArray(value)) {
    const chosen = find("callback").value;
    if (chosen === "page" && !forCode) {
      const receiver = ownReceiver();
      token = receiver.token;
      value = { ...value, callback_uri: receiver.uri };
    } else if (chosen === "uri" && find("callback-uri").value.trim()) {
      value = { ...value, callback_uri: find("callback-uri").value.trim() };
    }
  }
  const isAsWritten = page.shownTab === "json" && value?.callback_uri === undefined && !forCode;
  return { text: isAsWritten ? find("json").value : stringify(value), value, token };
}

function readFile({ forCode }) {
  const [file] = find("file").files;
  if (!file && !forCode) throw new Unreadable("", "Choose a file first.");
  const value = {};
  let token = "";
  if (delivery() === "async") {
    const chosen = find("callback").value;
    if (chosen === "page" && !forCode) ({ token, uri: value.callback_uri } = ownReceiver());
    if (chosen === "uri" && find("callback-uri").value.trim()) value.callback_uri = find("callback-uri").value.trim();
  }
  return { file: file ?? { name: "cat.jpg", type: "image/jpeg" }, field: find("file-field").value.trim(), value, token };
}

const preference = () => (delivery() === "async" ? "respond-async" : page.config.is_async ? "wait=60" : "");

function showCode() {
  let request;
  try {
    request = readRequest({ forCode: true });
  } catch {
    find("code").textContent = "The request cannot be read yet.";
    return;
  }
  const { text } = request;
  find("code").textContent = snippet(page.language, { ...request, prefer: preference(), needsKey: page.needsKey });
  const download = find("download");
  download.hidden = text === undefined || !isLong(text);
  if (!download.hidden) {
    URL.revokeObjectURL(download.href);
    download.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    download.textContent = `Save ${FILE}`;
  }
}

// -------- The answer --------

async function predict() {
  const error = find("request-error");
  say(error, "");
  markError(find("panel-form"), "", "");
  let request;
  try {
    request = readRequest({ forCode: false });
  } catch (problem) {
    const isShown = problem instanceof Unreadable && markError(find("panel-form"), problem.pointer, problem.message);
    if (!isShown) say(error, problem instanceof Unreadable ? problem.message : `This is not JSON: ${problem.message}`);
    return;
  }
  page.following?.abort();
  const following = (page.following = new AbortController());
  const button = find("predict");
  button.disabled = true;
  button.textContent = "Predicting…";
  try {
    await send(request, following.signal);
  } catch (problem) {
    find("answer").replaceChildren(showError({ title: "", message: `The API cannot be reached: ${problem.message}` }));
  } finally {
    button.disabled = false;
    button.textContent = "Predict";
  }
}

/** Return where a request goes, its body and that body's type. */
function encode({ text, file, field, value }) {
  if (!file) return { path: "predict", body: text, type: "application/json" };
  if (field) {
    const body = new FormData();
    body.append(field, file);
    if (value.callback_uri) body.append("callback_uri", value.callback_uri);
    return { path: "predict", body, type: "" };
  }
  const query = value.callback_uri ? `?callback_uri=${encodeURIComponent(value.callback_uri)}` : "";
  return { path: `predict${query}`, body: file, type: file.type || "application/octet-stream" };
}

async function send(request, signal) {
  const { value, token } = request;
  const { path, body, type } = encode(request);
  const prefer = preference();
  const headers = { ...(type ? { "Content-Type": type } : {}), ...(prefer ? { Prefer: prefer } : {}) };
  const streams = delivery() === "sync" && EVENT_STREAM in page.description.paths["/predict"].post.responses[200].content;
  if (streams) headers.Accept = EVENT_STREAM;
  const started = performance.now();
  const place = find("answer");
  const pieces = showPieces(place);
  const answer = await ask(path, { method: "POST", body, headers, onPiece: pieces.add });
  const error = errorOf(answer);
  const taskId = answer.headers.get("Denzel-Task-Id") ?? error?.body.task_id ?? "";
  if (error) {
    place.replaceChildren(showHead({ ...answer, statusText: "", taskId }), ...pieces.shown(), showError(error));
    if (error.status === 401) openKeyDialog("The API does not know this key.");
    if (error.body.path !== undefined && page.shownTab === "form") {
      markError(find("panel-form"), error.body.path, error.message);
    }
    return;
  }
  const accepted = delivery() === "async" ? parsePlain(answer.text)?.data?.task_id : undefined;
  if (accepted) {
    const hasCallback = value?.callback_uri !== undefined;
    // Not waited for: the next request may be sent meanwhile.
    follow(place, { taskId: accepted, started, token, hasCallback, signal }).catch((problem) => {
      if (!signal.aborted) place.append(showError({ title: "", message: problem.message }));
    });
    return;
  }
  const shown = answer.blob ? showBlob(answer.blob) : showPrediction(answer.text);
  place.replaceChildren(showHead({ ...answer, statusText: "OK", taskId }), ...pieces.shown(), ...shown);
}

// -------- The API key --------

function wireKey() {
  const dialog = find("key-dialog");
  find("key-button").addEventListener("click", () => openKeyDialog(""));
  find("key-cancel").addEventListener("click", () => dialog.close());
  find("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    key.set(find("key").value.trim());
    dialog.close();
  });
}

let hasAsked = false;

/** Ask for the key: once by itself, and whenever the user or an answer wants it. */
function openKeyDialog(problem) {
  const dialog = find("key-dialog");
  if (dialog.open || (hasAsked && !problem && document.activeElement !== find("key-button"))) return;
  hasAsked = true;
  find("key").value = key.get();
  say(find("key-error"), key.get() ? problem : "");
  dialog.showModal();
}

start();
