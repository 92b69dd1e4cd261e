"""Put requests on their queues, for one API process.

An asynchronous request is accepted when it is in Redis's file, as far as REDIS_FSYNC has it.  A
synchronous one is worth what its client waits for, so nothing of it is written there: the API sends
it again when Redis was started anew (``api/dispatch.py``).
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.runtime.contract import Request
from app.runtime.requests.errors import KeyReused, NotReplicated, QueueFull
from app.runtime.store.codecs import encode_stored_request
from app.runtime.store.messages import rest_of_async_message, rest_of_sync_message, stands_beside

KEY_SECONDS = 86400
"""How long an Idempotency-Key is remembered."""
TIMED_OUT_SECONDS = 600
"""How long a synchronous request can be asked for after its client was answered 504."""

Run = Callable[..., asyncio.Future[Any]]
"""Runs a script of ``store/lua``: ``run(name, *arguments)``; the future is its answer."""


@dataclass(frozen=True)
class Replicas:
    """How many replicas must have a request before it is accepted, and the seconds they may take.

    ``run`` and ``send`` are those of a connection for this alone: whatever else went over it would
    wait for the replicas, too.
    """

    run: Run
    send: Run
    count: int
    seconds: float


@dataclass(frozen=True)
class Claim:
    """What an Idempotency-Key stands for; ``is_new`` if this request was the first with it."""

    task_id: str
    is_new: bool


class Acceptance:
    """Queues the requests of the API process called ``name``.

    ``batch_size`` is how many the workers predict together; without ``replicas`` none are waited
    for.
    """

    def __init__(
        self, run: Run, name: str, max_queue: int, batch_size: int, replicas: Replicas | None = None
    ) -> None:
        self._run = run
        self._replicas = replicas
        self._name = name
        self._max_queue = max_queue
        self._batch_size = batch_size
        self._rest = rest_of_async_message()

    async def accept(self, requests: Sequence[Request]) -> int:
        """Queue asynchronous requests, as many as there is room for; return how many."""
        arguments: list[str | bytes | int] = [self._max_queue, self._batch_size, self._rest]
        for request in requests:
            stored = encode_stored_request(request.callback_uri, request.payload)
            arguments += [request.id, request.owner, stored]
        return int(await self._store("accept", *arguments))

    async def accept_once(self, request: Request, key: str, body: bytes) -> Claim:
        """Queue a request unless ``key`` stands for one already; return which it stands for.

        ``body`` is what the client sent.  Where the record of an earlier one has expired, it is
        queued again under its old id.  Raises KeyReused when it came with another body, and
        QueueFull.
        """
        stored = encode_stored_request(request.callback_uri, request.payload)
        digests = [hashlib.sha256(text).hexdigest() for text in (key.encode(), body)]
        task_id = request.id
        while True:
            verdict, known = await self._store(
                "accept_once", self._max_queue, self._batch_size, self._rest, task_id,
                request.owner, stored, *digests, KEY_SECONDS,
            )  # fmt: skip
            if verdict == b"reused":
                raise KeyReused("This Idempotency-Key came with another body before")
            if verdict == b"full":
                raise queue_full(self._max_queue)
            if verdict != b"expired":
                return Claim(known.decode(), verdict == b"new")
            task_id = known.decode()

    async def _store(self, script: str, *arguments: str | bytes | float) -> Any:
        """Run a script that accepts requests; return its answer once replicas have it, too.

        Raises NotReplicated when too few of them have: they may have it soon, or never.
        """
        replicas = self._replicas
        if replicas is None:
            return await self._run(script, *arguments)
        answer = replicas.run(script, *arguments)
        confirmed = replicas.send("WAIT", replicas.count, int(replicas.seconds * 1000))
        found, count = await asyncio.gather(answer, confirmed)
        if count < replicas.count:
            raise NotReplicated(f"{count} of {replicas.count} replicas have a request in time")
        return found

    def enqueue_sync(self, requests: Sequence[tuple[Request, float]]) -> asyncio.Future[Any]:
        """Queue synchronous requests, each with the seconds its client waits from now on."""
        large: list[str | bytes | int] = []
        messages: list[str | bytes] = []
        for request, timeout in requests:
            if stands_beside(request):
                large += [request.id, math.ceil(timeout) + TIMED_OUT_SECONDS, request.payload]
            messages += [request.id, rest_of_sync_message(request, self._name, timeout)]
        return self._run("enqueue_sync", self._batch_size, len(large) // 3, *large, *messages)

    def abandon(self, task_id: str, seconds: float) -> asyncio.Future[Any]:
        """Say that the client of a synchronous request has gone, so many seconds before its time.

        Whatever is taken later than that is too late anyway.
        """
        return self._run("abandon_sync", task_id, max(0.001, seconds))

    def time_out(self, task_id: str, owner: str) -> asyncio.Future[Any]:
        """Give a synchronous request a record, since its client's time is up."""
        return self._run("time_out_sync", task_id, owner, TIMED_OUT_SECONDS)


def queue_full(limit: int) -> QueueFull:
    """Return the error of a request there is no room for."""
    return QueueFull(f"{limit} requests are waiting already; nothing was queued")
