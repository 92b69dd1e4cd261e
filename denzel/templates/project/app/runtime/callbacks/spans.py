"""The spans of attempts at callbacks, where traces are wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from app.runtime.callbacks.deliveries import Callback
from app.runtime.callbacks.schedule import Answer
from app.runtime.callbacks.uri import parse_uri
from app.runtime.store.keys import trace_key
from app.runtime.tracing import Tracing, traceparent_of


@dataclass
class Attempt:
    """One attempt at a callback, and what its receiver answered."""

    answer: Answer


class CallbackSpans:
    """Makes a span for each attempt at a callback whose request has a trace.

    ``client`` is a connection to Redis; without ``tracing`` there are none.
    """

    def __init__(self, client: Any, tracing: Tracing | None = None) -> None:
        self._redis = client
        self._tracing = tracing

    @asynccontextmanager
    async def attempt(self, callback: Callback, headers: dict[str, str]) -> AsyncIterator[Attempt]:
        """Make the span of what happens inside, and add its context to ``headers``.

        Raises RedisError.
        """
        attempt = Attempt(Answer(error="not sent"))
        parent = self._tracing and await self._redis.get(trace_key(callback.task_id))
        if not (self._tracing and parent):
            yield attempt
            return
        target = parse_uri(callback.uri)
        span = self._tracing.start(
            "POST callback", "CLIENT", parent.decode(),
            {
                "denzel.task_id": callback.task_id, "http.request.method": "POST",
                "server.address": target.host, "server.port": target.port,
                "http.request.resend_count": callback.attempts,
            },
        )  # fmt: skip
        headers["traceparent"] = traceparent_of(span)
        try:
            yield attempt
        finally:
            answer = attempt.answer
            status = {"http.response.status_code": answer.status} if answer.status else {}
            self._tracing.end(span, status, "" if answer.is_delivered else answer.error)
