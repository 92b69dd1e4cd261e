"""The worker's side of Redis: fetch large payloads, store outcomes, tell the API."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import redis

from app.runtime.contract import SYNC_TTL_SECONDS, Outcome, Request
from app.runtime.requests import synchronous
from app.runtime.requests.ledger import FINISH
from app.runtime.requests.synchronous import Command
from app.runtime.store.codecs import Reply, decode_stored_request, encode_record, encode_reply
from app.runtime.store.keys import SPEED_KEY, WORKERS_KEY, reply_channel, request_key
from app.runtime.store.messages import encode_prediction_message
from app.runtime.store.wire import Wire

SPEED_WEIGHT = 0.2
SPEED_SECONDS = 0.5
"""How often a worker process tells how long its predictions take."""
SPEED_TTL_SECONDS = 3600
MEMORY_SECONDS = 1.0
ANSWER_SECONDS = 30.0
"""How long Redis may take to answer."""
IDLE_SECONDS = 25.0
"""Silence after which a connection is opened anew: what lies between may have forgotten it."""

log = logging.getLogger("denzel.results")


class ResultStore:
    """Writes what the worker has to say into Redis; one per worker process."""

    def __init__(self, client: redis.Redis, redis_url: str, result_ttl: int) -> None:
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = client
        self._redis_url = redis_url
        self._wire: Wire | None = None
        self._wire_used = 0.0
        self._result_ttl = result_ttl
        self._sync_result_ttl = min(result_ttl, SYNC_TTL_SECONDS)
        self._speed = 0.0
        self._speed_told = 0.0
        self._beats = 0

    def close(self) -> None:
        """Close the connections; they are opened again when needed."""
        self._drop_wire()
        self._redis.close()

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
            self._redis.execute_command(*synchronous.push(message, first=True))

    def finish(
        self,
        reply: Reply,
        reply_to: str,
        accepted: Mapping[str, Request],
        beside: Sequence[str] = (),
    ) -> None:
        """Store each outcome and tell the API process ``reply_to``.

        Outcomes of synchronous requests stand together, as they are sent: storing each on its
        own would cost more than most predictions.
        ``accepted`` holds the asynchronous requests by id: they leave the ledger, and a
        callback is queued for each that named one.  ``beside`` are those whose payload stood
        beside the message and is needed no more.
        """
        channel = reply_channel(reply_to)
        if accepted:
            frame = encode_reply(replace(reply, is_written=True))
            storing = [self._finish_command(reply.outcomes, accepted)]
            telling = [("PUBLISH", channel, frame)] if reply_to else []
            self._execute([*storing, *telling], must_be_stored=True)
        else:
            frame = encode_reply(reply)
            finish = synchronous.finish(reply, frame, channel, self._sync_result_ttl, beside)
            self._execute_lean(finish)
        if reply.seconds:
            self._tell_speed(reply)

    def _tell_speed(self, reply: Reply) -> None:
        """Take in how long predictions take, and tell it now and then."""
        each = reply.seconds / len(reply.outcomes)
        self._speed += SPEED_WEIGHT * (each - self._speed)
        now = time.monotonic()
        if now - self._speed_told >= SPEED_SECONDS:
            self._speed_told = now
            self._execute(
                [("SET", SPEED_KEY, self._speed, "EX", SPEED_TTL_SECONDS)], must_be_stored=False
            )

    def _finish_command(
        self, outcomes: Sequence[Outcome], accepted: Mapping[str, Request]
    ) -> Command:
        """Return what ends asynchronous requests in the ledger."""
        finished: list[str | bytes] = []
        for outcome in outcomes:
            if outcome.id in accepted:
                record = encode_record(outcome.state, outcome.body)
                finished += [outcome.id, record, accepted[outcome.id].callback_uri or ""]
        return ("EVAL", FINISH, 0, self._result_ttl, time.time(), *finished)

    def _execute_lean(self, command: Command) -> None:
        """Send what a client waits for; over a plain connection, as long as that works."""
        now = time.monotonic()
        if now - self._wire_used > IDLE_SECONDS:
            self._drop_wire()
        self._wire_used = now
        try:
            if self._wire is None:
                self._wire = Wire(self._redis_url, ANSWER_SECONDS)
            self._wire.ask(*command)
        except redis.exceptions.OutOfMemoryError:
            pass  # its client has been told by the same command
        except (redis.RedisError, OSError):
            self._drop_wire()
            self._execute([command], must_be_stored=False)
        except BaseException:
            self._drop_wire()  # nobody would know whose the next reply is
            raise

    def _drop_wire(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _execute(self, commands: Sequence[Command], *, must_be_stored: bool) -> None:
        """Send commands in one round trip.

        While Redis is out of memory, hold on to what must be stored: giving up would have it
        predicted again, and fail after a few times.
        """
        while True:
            pipe = self._redis.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            try:
                pipe.execute()
                return
            except redis.exceptions.OutOfMemoryError:
                if not must_be_stored:
                    return  # its client has been told by the same commands
                log.warning("Redis has no memory for results (REDIS_MAX_MEMORY); trying on")
                time.sleep(MEMORY_SECONDS)

    def announce(self, worker: str, processes: int) -> None:
        """Tell the API processes that ``worker`` lives; what is written changes each time."""
        self._beats += 1
        record = orjson.dumps({"processes": processes, "beat": self._beats})
        self._redis.hset(WORKERS_KEY, worker, record)

    def withdraw(self, worker: str) -> None:
        """Tell the API processes that ``worker`` has stopped."""
        self._redis.hdel(WORKERS_KEY, worker)
