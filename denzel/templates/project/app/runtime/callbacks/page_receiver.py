"""The receiver that the page at ``/`` has of its own, to show what a callback looks like.

It is no server.  Its name cannot be on any network (RFC 2606, section 2: ``.invalid``), so that a
callback there is no request to anything: this service puts what it would have sent into Redis, for
ten minutes, under a token that only the page which made it up knows.  The deployment's own services
stay out of callbacks' reach (``addresses.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from app.runtime.callbacks.body import Body
from app.runtime.callbacks.schedule import Answer
from app.runtime.contract import JSON
from app.runtime.store.keys import received_key

RECEIVER = re.compile(r"http://page\.denzel\.invalid/([0-9a-f-]{36})")
"""The receiver's URIs; the page makes the token, a random UUID."""
KEPT_SECONDS = 600
MAX_SHOWN_BYTES = 64 * 1024


def token_of(uri: str) -> str | None:
    """Return the token in a callback's URI; None for one that goes elsewhere."""
    match = RECEIVER.fullmatch(uri)
    return match[1] if match else None


class PageReceiver:
    """Takes in what is sent to the page."""

    def __init__(self, client: Any) -> None:
        self._redis = client

    async def receive(self, token: str, headers: Mapping[str, str], body: Body) -> Answer:
        """Keep a callback for the page to show; may raise RedisError."""
        text = None
        if body.size <= MAX_SHOWN_BYTES and body.content_type == JSON:
            async with body.whole() as content:
                text = content.decode(errors="replace")
        shown = {
            "headers": {"Content-Type": body.content_type, **headers},
            "bytes": body.size,
            "body": text,
        }
        await self._redis.set(received_key(token), orjson.dumps(shown), ex=KEPT_SECONDS)
        return Answer(204)
