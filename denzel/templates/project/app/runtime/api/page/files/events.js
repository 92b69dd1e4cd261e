// Server-sent events: a prediction in pieces.  EventSource sends no POST, so they are read here.

/** Read an answer to its end; call `onPiece` with each piece's JSON. Return the whole as { text }, or the error's as { status, text }. */
export async function readEvents(response, onPiece) {
  let rest = "";
  let ended = { status: 502, text: '{"title": "Stream cut off", "description": "It ended without its last event"}' };
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return ended;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const { kind, data } of events.map(parseEvent)) {
      if (kind === "message" && data) onPiece(data);
      if (kind === "result") ended = { text: data };
      if (kind === "error") ended = { status: 500, text: data };
    }
  }
}

function parseEvent(text) {
  const event = { kind: "message", data: "" };
  for (const line of text.split("\n")) {
    if (line.startsWith("event: ")) event.kind = line.slice("event: ".length);
    if (line.startsWith("data: ")) event.data = line.slice("data: ".length);
  }
  return event;
}
