"""Store outcomes and tell those who wait, for one process of a worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from app.runtime.contract import NOBODY, PIECE, Outcome
from app.runtime.logs import Outage
from app.runtime.store.client import ScriptRunner
from app.runtime.store.codecs import decode_stored_request, encode_record
from app.runtime.store.keys import payload_key, request_key, trace_key

RETRY_SECONDS = 0.5
SYNC_RESULT_SECONDS = 600
"""How long a synchronous outcome can be asked for."""
ANSWERED_BYTES = 2048
"""Largest synchronous outcome that is kept although its client was answered."""
ANSWERED_A_MINUTE = 12_000
"""How many of these are kept for each minute: all of 200 requests a second."""

log = logging.getLogger("denzel.outcomes")


def _may_pass(error: RedisError) -> bool:
    """Tell whether Redis may take later what it does not take now."""
    if isinstance(error, ResponseError):
        return str(error).startswith(("NOREPLICAS", "MISCONF", "MASTERDOWN"))
    return isinstance(error, ConnectionError | TimeoutError)


class Ended(NamedTuple):
    """A request's outcome, and what is needed to tell it.

    ``reply_to`` and ``owner`` are a synchronous request's, ``callback_uri`` an asynchronous one's.
    """

    outcome: Outcome
    reply_to: str = ""
    owner: str = ""
    callback_uri: str | None = None


class OutcomeStore:
    """Reads large payloads and writes outcomes, for what the worker called ``holder`` holds."""

    def __init__(self, client: redis.Redis, holder: str, result_ttl: int) -> None:
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = client
        self._holder = holder
        self._result_ttl = result_ttl
        self._run = ScriptRunner(client)

    def close(self) -> None:
        """Close the connections; they are opened again when needed."""
        self._redis.close()

    def stored_request(self, task_id: str) -> tuple[str | None, bytes] | None:
        """Return an asynchronous request's callback URI and payload, None when it has ended."""
        stored = self._redis.get(request_key(task_id))
        return None if stored is None else decode_stored_request(stored)

    def payload(self, task_id: str) -> bytes | None:
        """Return a synchronous request's large payload, None when it has expired."""
        found: bytes | None = self._redis.get(payload_key(task_id))
        return found

    def traceparents(self, task_ids: Sequence[str]) -> list[str]:
        """Return the spans under which requests were asked for, '' where none was noted."""
        found = self._redis.mget([trace_key(each) for each in task_ids])
        return ["" if each is None else each.decode() for each in found]

    def send_piece(self, task_id: str, reply_to: str, number: int, piece: bytes) -> bool:
        """Tell a piece of a synchronous prediction to the API process whose client waits.

        Returns whether the client is still there, as far as can be told.
        """
        record = encode_record(PIECE, NOBODY, b"%d %b" % (number, piece))
        try:
            return bool(self._run("send_piece", task_id, reply_to, record))
        except RedisError as error:
            log.warning("A piece of %s could not be sent: %s", task_id, error)
            return False

    def finish(self, ended: Sequence[Ended], *, outage_seconds: float = 0.0) -> None:
        """End asynchronous requests; may raise RedisError.

        While Redis is away, try on for so long: giving up would have them predicted again, and
        fail after a few times.
        """
        deadline = time.monotonic() + outage_seconds
        arguments: list[str | bytes | float] = [self._holder, self._result_ttl]
        for outcome, _, _, callback_uri in ended:
            arguments += [outcome.id, outcome.state, outcome.body, callback_uri or ""]
        outage = Outage(log, "Redis")
        while True:
            try:
                self._run("finish", *arguments)
                outage.ended()
                return
            except RedisError as error:
                if time.monotonic() >= deadline or not _may_pass(error):
                    raise
                outage.failed(error)
                time.sleep(RETRY_SECONDS)

    def finish_sync(self, ended: Sequence[Ended], large: Sequence[str] = ()) -> None:
        """Tell the outcomes of synchronous requests to the API processes whose clients wait.

        ``large`` are those whose payload stood beside the message.
        """
        waiting: dict[str, list[str | bytes]] = {}
        for outcome, reply_to, owner, _ in ended:
            record = encode_record(outcome.state, owner, outcome.body)
            waiting.setdefault(reply_to, []).extend((outcome.id, record))
        arguments: list[str | bytes | float] = [
            self._holder, min(self._result_ttl, SYNC_RESULT_SECONDS), ANSWERED_BYTES,
            ANSWERED_A_MINUTE, len(large), *large,
        ]  # fmt: skip
        for reply_to, records in waiting.items():
            arguments += [reply_to, len(records) // 2, *records]
        self._run("finish_sync", *arguments)
