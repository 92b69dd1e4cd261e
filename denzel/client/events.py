"""Read a prediction that comes in pieces: server-sent events.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6, of which the
API uses the fields ``data`` and ``event`` and comments, with line feeds for ends of lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from denzel.errors import ApiUnreachable, PredictionError

EVENT_STREAM = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
"""How long the API lets a stream be silent, before it sends a comment."""
RESULT, ERROR = "result", "error"
TEXTS = ("title", "description")
"""Of an error: the body that the answer would have had."""
CUT_OFF = "The stream was cut off before the whole prediction had come"


class EventReader:
    """Takes the bytes of a stream as they come, and makes pieces of them."""

    def __init__(self) -> None:
        self._result: Any = None
        self._has_ended = False
        self._unread = b""
        self._event = ""
        self._data: list[bytes] = []

    def feed(self, arrived: bytes) -> Iterator[Any]:
        """Yield the pieces that are complete now.

        Raises PredictionError where the API says why no more will come.
        """
        *lines, self._unread = (self._unread + arrived).split(b"\n")
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                name, value = self._event, _parse(b"\n".join(self._data))
                self._event, self._data = "", []
                if name == RESULT:
                    self._result, self._has_ended = value, True
                elif name == ERROR:
                    texts = map(value.get, TEXTS) if isinstance(value, dict) else (str(value),)
                    raise PredictionError(": ".join(filter(None, texts)))
                else:
                    yield value

    def close(self) -> Any:
        """Return the whole prediction at the end of the bytes; raises ApiUnreachable without it."""
        if not self._has_ended:
            raise ApiUnreachable(CUT_OFF)
        return self._result

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._event = value.decode(errors="replace")


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise ApiUnreachable(f"The stream holds what is no JSON: {error}") from error
