"""Callbacks in Redis: what is due, what each attempt came to, what is given up but kept.

A callback is due at a time (``denzel:callbacks:due``); whoever takes it moves that time a claim
ahead, again and again while it is at it, so it comes back by itself if its deliverer dies.  It
leaves the set when it was delivered, or when it is given up: then it stands in
``denzel:callbacks:failed`` until somebody sends it again or drops it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from app.runtime.contract import SUCCESS
from app.runtime.store.codecs import decode_record
from app.runtime.store.keys import (
    CALLBACKS_DUE_KEY,
    CALLBACKS_FAILED_KEY,
    CALLBACKS_WAKE_KEY,
    callback_key,
    task_key,
)

WHEN_FULL = "#!lua flags=allow-oom\n"
DELIVERED = "DELIVERED"
FAILED = "FAILED"
PENDING = "PENDING"

# ARGV: now, end of the claim, how many.
_TAKE = (
    WHEN_FULL
    + """
local due = redis.call('ZRANGEBYSCORE', 'denzel:callbacks:due', '-inf', ARGV[1],
  'LIMIT', 0, ARGV[3])
for _, id in ipairs(due) do
  redis.call('ZADD', 'denzel:callbacks:due', ARGV[2], id)
end
return due
"""
)

# ARGV: id, when the callback is due again, when it was given up, how long it is known from now
# on (each '' or a number), then fields and values.  One that was dropped meanwhile stays so.
_RECORD = (
    WHEN_FULL
    + """
local id, due, failed, lifetime = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = 'denzel:callback:' .. id
redis.call('ZREM', 'denzel:callbacks:due', id)
redis.call('ZREM', 'denzel:callbacks:failed', id)
if redis.call('EXISTS', key) == 0 then return end
for i = 5, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
if due ~= '' then redis.call('ZADD', 'denzel:callbacks:due', due, id) end
if failed ~= '' then redis.call('ZADD', 'denzel:callbacks:failed', failed, id) end
if lifetime ~= '' then
  redis.call('EXPIRE', key, lifetime)
  redis.call('EXPIRE', 'denzel:task:' .. id, lifetime)
end
"""
)


@dataclass(frozen=True)
class Callback:
    """One callback to deliver: where, what, and how often it was tried since ``since``.

    ``state`` is the prediction's; ``body`` the JSON to send.  Times are in seconds since the
    epoch.
    """

    task_id: str
    uri: str
    state: str
    body: bytes
    attempts: int
    since: float


class Deliveries:
    """The callbacks of this deployment; ``clock`` gives seconds since the epoch."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        claim_seconds: float,
        result_ttl: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = client
        self.claim_seconds = claim_seconds
        self._result_ttl = result_ttl
        self._clock = clock
        self._take = self._redis.register_script(_TAKE)
        self._record: Any = self._redis.register_script(_RECORD)

    def wait(self, seconds: float) -> None:
        """Return when a new callback was queued, or after ``seconds``."""
        self._redis.blpop([CALLBACKS_WAKE_KEY], timeout=seconds)

    def take(self, count: int) -> list[Callback]:
        """Claim up to ``count`` callbacks that are due."""
        now = self._clock()
        taken = self._take(args=[now, now + self.claim_seconds, count])
        callbacks = [self._read(task_id.decode()) for task_id in taken]
        return [callback for callback in callbacks if callback is not None]

    def renew(self, task_ids: Iterable[str]) -> None:
        """Keep the claims on these callbacks, as far as they are still to be delivered."""
        until = self._clock() + self.claim_seconds
        claims = dict.fromkeys(task_ids, until)
        if claims:
            self._redis.zadd(CALLBACKS_DUE_KEY, claims, xx=True)

    def delivered(self, callback: Callback, status: int) -> None:
        """Record that the receiver has it; its record ends its life as any other's."""
        fields = self._fields(callback, DELIVERED, status, "")
        self._record(args=[callback.task_id, "", "", self._result_ttl, *fields])

    def postpone(self, callback: Callback, delay: float, status: int | None, error: str) -> None:
        """Record a failed attempt and try again in ``delay`` seconds."""
        next_at = self._clock() + delay
        fields = self._fields(callback, PENDING, status, error, next_at)
        self._record(args=[callback.task_id, next_at, "", "", *fields])

    def give_up(self, callback: Callback, status: int | None, error: str) -> None:
        """Record a final failure; the callback is kept for ``denzel callbacks --retry``."""
        fields = self._fields(callback, FAILED, status, error)
        self._record(args=[callback.task_id, "", self._clock(), "", *fields])

    def put_back(self, callback: Callback, delay: float) -> None:
        """Give a claimed callback back untried, due in ``delay`` seconds."""
        self._redis.zadd(CALLBACKS_DUE_KEY, {callback.task_id: self._clock() + delay})

    def undelivered(self) -> list[dict[str, object]]:
        """Return what is known of each callback still to be delivered or given up."""
        task_ids = [
            *self._redis.zrange(CALLBACKS_DUE_KEY, 0, -1),
            *self._redis.zrange(CALLBACKS_FAILED_KEY, 0, -1),
        ]
        pipe = self._redis.pipeline(transaction=False)
        for task_id in task_ids:
            pipe.hgetall(callback_key(task_id.decode()))
        found = zip(task_ids, pipe.execute(), strict=True)
        return [{"task_id": task_id.decode(), **describe(note)} for task_id, note in found if note]

    def describe(self, task_id: str) -> dict[str, object]:
        """Return what ``/status`` and ``denzel callbacks`` tell of a callback; {} for none."""
        return describe(self._redis.hgetall(callback_key(task_id)))

    def retry(self, task_ids: Iterable[str]) -> int:
        """Send callbacks again from now on, with a new retry period; return how many."""
        count = 0
        for task_id in task_ids:
            if self._redis.exists(callback_key(task_id), task_key(task_id)) != 2:
                continue
            pipe = self._redis.pipeline()
            pipe.persist(callback_key(task_id))
            pipe.persist(task_key(task_id))
            pipe.hset(
                callback_key(task_id),
                mapping={"state": PENDING, "attempts": 0, "since": self._clock()},
            )
            pipe.zrem(CALLBACKS_FAILED_KEY, task_id)
            pipe.zadd(CALLBACKS_DUE_KEY, {task_id: self._clock()})
            pipe.lpush(CALLBACKS_WAKE_KEY, 1)
            pipe.execute()
            count += 1
        return count

    def drop(self, task_ids: Iterable[str]) -> int:
        """Forget callbacks for good; their predictions stay as long as any other's."""
        count = 0
        for task_id in task_ids:
            pipe = self._redis.pipeline()
            pipe.zrem(CALLBACKS_DUE_KEY, task_id)
            pipe.zrem(CALLBACKS_FAILED_KEY, task_id)
            pipe.unlink(callback_key(task_id))
            pipe.expire(task_key(task_id), self._result_ttl)
            count += pipe.execute()[2]
        return count

    def _read(self, task_id: str) -> Callback | None:
        note = self._redis.hgetall(callback_key(task_id))
        record = self._redis.get(task_key(task_id))
        if not note or record is None or note[b"state"] == DELIVERED.encode():
            self._redis.zrem(CALLBACKS_DUE_KEY, task_id)
            return None
        state, body, _ = decode_record(record)
        if state != SUCCESS:
            body = b'{"status":"%b","result":%b}' % (state.encode(), body)
        return Callback(
            task_id, note[b"uri"].decode(), state, body, int(note[b"attempts"]),
            float(note[b"since"]),
        )  # fmt: skip

    def _fields(
        self,
        callback: Callback,
        state: str,
        status: int | None,
        error: str,
        next_at: float | None = None,
    ) -> list[object]:
        """Return what is noted of an attempt, names and values in turn."""
        return [
            "state", state, "attempts", callback.attempts + 1, "last_at", self._clock(),
            "last_status", status or "", "last_error", error, "next_at", next_at or "",
        ]  # fmt: skip


def describe(note: dict[bytes, bytes]) -> dict[str, object]:
    """Return a callback's hash as shown to people; times are in seconds since the epoch."""
    if not note:
        return {}

    def number(name: bytes) -> float | None:
        return orjson.loads(note[name]) if note.get(name) else None

    return {
        "uri": note[b"uri"].decode(),
        "state": note[b"state"].decode(),
        "attempts": int(note[b"attempts"]),
        "last_status": number(b"last_status"),
        "last_error": note.get(b"last_error", b"").decode() or None,
        "last_at": number(b"last_at"),
        "next_at": number(b"next_at"),
    }
