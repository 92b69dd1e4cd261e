"""One request at a time over HTTP, to see whether a side is there and answers rightly."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

TIMEOUT_SECONDS = 30.0
JSON = "application/json"


def ask(
    port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Return the status and the parsed body of one answer; (0, reason) when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    sent = {"Content-Type": JSON, **(headers or {})}
    try:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text.decode(errors="replace")
