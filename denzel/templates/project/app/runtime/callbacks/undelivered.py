"""The operator's side of the callbacks in Redis: list, send again, drop (``denzel callbacks``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson
import redis

from app.runtime.settings import Settings
from app.runtime.store.client import connect, database_of
from app.runtime.store.keys import CALLBACKS_DUE_KEY, CALLBACKS_FAILED_KEY, callback_key
from app.runtime.store.lua_scripts import load_script

AT_ONCE = 500


class Undelivered:
    """The callbacks of this deployment that are still to be delivered, or were given up."""

    def __init__(self, client: redis.Redis, *, result_ttl: int) -> None:
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = client
        self._result_ttl = result_ttl
        self._retry = self._redis.register_script(load_script("retry_callbacks"))
        self._drop = self._redis.register_script(load_script("drop_callbacks"))

    @classmethod
    def connect(cls, settings: Settings) -> Undelivered:
        """Return this deployment's callbacks; no connection is opened yet."""
        return cls(connect(settings.redis), result_ttl=settings.result_ttl)

    def task_ids(self) -> list[str]:
        """Return their tasks' ids."""
        due = self._redis.zrange(CALLBACKS_DUE_KEY, 0, -1)
        failed = self._redis.zrange(CALLBACKS_FAILED_KEY, 0, -1)
        return [task_id.decode() for task_id in (*due, *failed)]

    def describe_all(self) -> list[dict[str, object]]:
        """Return what is known of each."""
        found: list[dict[str, object]] = []
        for task_ids in _in_parts(self.task_ids()):
            pipe = self._redis.pipeline(transaction=False)
            for task_id in task_ids:
                pipe.hgetall(callback_key(task_id))
            for task_id, note in zip(task_ids, pipe.execute(), strict=True):
                if note:
                    found.append({"task_id": task_id, **describe(note)})
        return found

    def describe(self, task_id: str) -> dict[str, object]:
        """Return what is known of the callback of a task; {} for none."""
        return describe(self._redis.hgetall(callback_key(task_id)))

    def retry(self, task_ids: Iterable[str]) -> int:
        """Send callbacks again from now on, with a new retry period; return how many."""
        keys = [str(database_of(self._redis))]
        return sum(self._retry(keys=keys, args=part) for part in _in_parts(task_ids))

    def drop(self, task_ids: Iterable[str]) -> int:
        """Forget callbacks for good; their predictions stay as long as any other's."""
        return sum(self._drop(args=[self._result_ttl, *part]) for part in _in_parts(task_ids))


def _in_parts(task_ids: Iterable[str]) -> Iterable[Sequence[str]]:
    remaining = iter(task_ids)
    while part := list(islice(remaining, AT_ONCE)):
        yield part


def describe(note: Mapping[bytes, bytes]) -> dict[str, object]:
    """Return a callback's hash as shown to people; times are in seconds since the epoch.

    ``expires_at`` is when a callback that was given up will be forgotten.
    """
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
        "expires_at": number(b"expires_at"),
    }
