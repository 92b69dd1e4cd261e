"""The worker's side of Redis: fetch large payloads, store outcomes, tell the API."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import redis

from app.runtime.ledger import FINISH
from app.runtime.messages import encode_prediction_message
from app.runtime.store import (
    PREDICTIONS_QUEUE,
    SPEED_KEY,
    SYNC_TTL_SECONDS,
    WORKERS_KEY,
    Reply,
    Request,
    decode_stored_request,
    encode_record,
    encode_reply,
    frame_key,
    reply_channel,
    request_key,
    task_key,
)

SPEED_WEIGHT = 0.2
SPEED_SECONDS = 0.5
"""How often a worker process tells how long its predictions take."""
SPEED_TTL_SECONDS = 3600
MEMORY_SECONDS = 1.0

log = logging.getLogger("denzel.results")


class ResultStore:
    """Writes what the worker has to say into Redis; one per worker process."""

    def __init__(self, client: redis.Redis, result_ttl: int) -> None:
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = client
        self._result_ttl = result_ttl
        self._sync_result_ttl = min(result_ttl, SYNC_TTL_SECONDS)
        self._speed = 0.0
        self._speed_told = 0.0
        self._beats = 0

    def stored_requests(self, task_ids: Sequence[str]) -> list[Request | None]:
        """Return requests too large for a message; None for one that has expired."""
        stored = self._redis.mget([request_key(task_id) for task_id in task_ids])
        return [
            None if each is None else decode_stored_request(task_id, each, False)
            for task_id, each in zip(task_ids, stored, strict=True)
        ]

    def resend(self, requests: Sequence[Request], reply_to: str) -> None:
        """Queue requests again, each on its own, before all others."""
        now = time.time()
        for request in requests:
            message = encode_prediction_message(
                [request], reply_to, sent=now, expires=now + SYNC_TTL_SECONDS
            )
            self._redis.rpush(PREDICTIONS_QUEUE, message)

    def finish(
        self,
        reply: Reply,
        reply_to: str,
        accepted: Mapping[str, Request],
        beside: Sequence[str] = (),
    ) -> None:
        """Store each outcome and tell the API process ``reply_to``, in one round trip.

        Outcomes of synchronous requests stand together, as they are sent: storing each on its
        own would cost more than most predictions.
        ``accepted`` holds the asynchronous requests by id: they leave the ledger, and a
        callback is queued for each that named one.  ``beside`` are those whose payload stood
        beside the message and is needed no more.
        """
        each = reply.seconds / len(reply.outcomes)
        self._speed += SPEED_WEIGHT * (each - self._speed)
        now = time.time()
        frame = encode_reply(reply)
        finished: list[object] = []
        pipe = self._redis.pipeline(transaction=False)
        for outcome in reply.outcomes:
            if outcome.id in accepted:
                record = encode_record(outcome.state, outcome.body)
                uri = accepted[outcome.id].callback_uri or ""
                finished += [outcome.id, record, uri]
        if not accepted and len(reply.outcomes) > 1:
            pipe.set(frame_key(reply.group), frame, ex=self._sync_result_ttl)
        elif not accepted:
            record = encode_record(reply.outcomes[0].state, reply.outcomes[0].body)
            pipe.set(task_key(reply.group), record, ex=self._sync_result_ttl)
        if beside:
            pipe.unlink(*map(request_key, beside))
        if finished:
            pipe.eval(FINISH, 0, self._result_ttl, now, *finished)
        if now - self._speed_told >= SPEED_SECONDS:
            self._speed_told = now
            pipe.set(SPEED_KEY, self._speed, ex=SPEED_TTL_SECONDS)
        if reply_to:
            pipe.publish(reply_channel(reply_to), frame)
        self._execute(pipe, must_be_stored=bool(finished))

    @staticmethod
    def _execute(pipe: Any, *, must_be_stored: bool) -> None:
        """Send the commands; while Redis is out of memory, hold on to what must be stored.

        Giving up would have it predicted again, and fail after a few times.
        """
        commands = list(pipe.command_stack)
        while True:
            try:
                pipe.execute()
                return
            except redis.exceptions.OutOfMemoryError:
                if not must_be_stored:
                    return  # its client has been told by the same commands
                log.warning("Redis has no memory for results (REDIS_MAX_MEMORY); trying on")
                time.sleep(MEMORY_SECONDS)
                pipe.command_stack = list(commands)

    def announce(self, worker: str, processes: int) -> None:
        """Tell the API processes that ``worker`` lives; what is written changes each time."""
        self._beats += 1
        record = orjson.dumps({"processes": processes, "beat": self._beats})
        self._redis.hset(WORKERS_KEY, worker, record)

    def withdraw(self, worker: str) -> None:
        """Tell the API processes that ``worker`` has stopped."""
        self._redis.hdel(WORKERS_KEY, worker)
