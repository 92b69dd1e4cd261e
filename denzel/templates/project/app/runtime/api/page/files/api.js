// Requests to this API.  Its address is the page's own: see <base>.

import { readEvents } from "./events.js";

export const EVENT_STREAM = "text/event-stream";
const KEY = "denzel-api-key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
};

/** An answer with a status of 400 or above; `body` is its JSON, if it has any. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body?.description || body?.title || `The API answered ${status}`);
    this.status = status;
    this.title = body?.title ?? "";
    this.body = body ?? {};
  }
}

/** Return where a path of the API is, as programs elsewhere need it. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/** Ask the API; return { status, headers, text, blob, milliseconds } of any answer; a blob where it is no text. `onPiece` is called with each piece of one that comes in pieces. */
export async function ask(path, { onPiece, ...options } = {}) {
  const headers = { ...options.headers };
  if (key.get()) headers["X-API-Key"] = key.get();
  const started = performance.now();
  const response = await fetch(address(path), { cache: "no-store", ...options, headers });
  const shared = { status: response.status, headers: response.headers };
  if (response.headers.get("Content-Type")?.startsWith(EVENT_STREAM)) {
    return { ...shared, ...(await readEvents(response, onPiece)), milliseconds: performance.now() - started };
  }
  const blob = await response.blob();
  const milliseconds = performance.now() - started;
  const isText = /^(application\/json|text\/)/.test(response.headers.get("Content-Type") ?? "text/");
  const body = isText ? { text: await blob.text() } : { text: "", blob };
  return { ...shared, milliseconds, ...body };
}

/** Return the JSON of an answer; throws ApiError for 400 and above. */
export async function askJson(path, options = {}) {
  const answer = await ask(path, options);
  const body = parse(answer.text);
  if (answer.status >= 400) throw new ApiError(answer.status, body);
  return body;
}

/** Return the value of a JSON text; undefined when it is none. */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Return the error in an answer, or null. */
export function errorOf(answer) {
  return answer.status >= 400 ? new ApiError(answer.status, parse(answer.text)) : null;
}
