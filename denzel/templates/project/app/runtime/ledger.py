"""What an accepted request is worth: the ledger that outlives any process.

Celery on Redis alone loses a message whose worker dies between taking it off the queue and
noting that it has it, and returns one it has noted only after hours.  So each asynchronous
request stands in this ledger from its acceptance until its outcome is stored:

* ``denzel:queued`` (sorted set): requests on the queue, by the time they were put there;
* ``denzel:leased`` (sorted set): requests a worker holds, by the time its lease runs out;
  the worker's main process renews it every few seconds, however long a prediction takes;
* ``denzel:holders`` and ``denzel:deliveries`` (hashes): who holds one, how often it was begun.

``sweep`` puts back what no living worker holds.  Every step is one script in Redis, so none is
ever half done; a request met twice is predicted once, because whoever comes second finds it
held or finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from app.runtime.messages import encode_prediction_message
from app.runtime.store import (
    LEASED_KEY,
    PREDICTIONS_QUEUE,
    QUEUE_TASK,
    QUEUED_KEY,
    WHEN_FULL,
    Request,
    decode_stored_request,
    stop_key,
    stopping_key,
)

SWEEP_LIMIT = 200
STOP_LIMIT = 100
SWEEP_LOCK_KEY = "denzel:sweeping"
LOST_MARGIN_SECONDS = 10.0
"""How much older than anything on the queue a queued request must be to count as lost."""

FINAL = """
local function final(id)
  local record = redis.call('GET', 'denzel:task:' .. id)
  return not record or string.find(record, '^SUCCESS') or string.find(record, '^FAILURE')
    or string.find(record, '^REVOKED')
end
"""

# ARGV: now, end of the lease, holder, ids.  For each id: deliveries and stored request, or 0.
_BEGIN = (
    WHEN_FULL
    + FINAL
    + """
local now, lease, holder = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local begun = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local until_ = redis.call('ZSCORE', 'denzel:leased', id)
  local other = redis.call('HGET', 'denzel:holders', id)
  local held = until_ and tonumber(until_) > now and other and other ~= holder
  if held or final(id) then
    begun[#begun + 1] = 0
    begun[#begun + 1] = ''
  else
    redis.call('ZADD', 'denzel:leased', lease, id)
    redis.call('ZREM', 'denzel:queued', id)
    redis.call('HSET', 'denzel:holders', id, holder)
    redis.call('SET', 'denzel:task:' .. id, 'STARTED null')
    begun[#begun + 1] = redis.call('HINCRBY', 'denzel:deliveries', id, 1)
    begun[#begun + 1] = redis.call('GET', 'denzel:request:' .. id) or ''
  end
end
return begun
"""
)

# ARGV: end of the lease, holder, ids.
_RENEW = (
    WHEN_FULL
    + FINAL
    + """
for i = 3, #ARGV do
  local id = ARGV[i]
  local other = redis.call('HGET', 'denzel:holders', id)
  if not final(id) and (not other or other == ARGV[2]) then
    redis.call('ZADD', 'denzel:leased', ARGV[1], id)
    redis.call('ZREM', 'denzel:queued', id)
    redis.call('HSET', 'denzel:holders', id, ARGV[2])
  end
end
"""
)

# ARGV: score on the queue, then id and message in turn.
_REQUEUE = (
    WHEN_FULL
    + FINAL
    + QUEUE_TASK
    + """
local requeued = 0
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  redis.call('ZREM', 'denzel:leased', id)
  redis.call('HDEL', 'denzel:holders', id)
  if final(id) then
    redis.call('ZREM', 'denzel:queued', id)
  else
    redis.call('ZADD', 'denzel:queued', ARGV[1], id)
    redis.call('SET', 'denzel:task:' .. id, 'PENDING null')
    queue_task('RPUSH', 'predictions', ARGV[i + 1])
    requeued = requeued + 1
  end
end
return requeued
"""
)


# A record whose callback is still to be delivered has no end of life.  Whoever waits for the
# end of a request it did not send (app/runtime/watch.py) is told.
FINISH_ONE = (
    FINAL
    + """
local function finish(id, record, uri, lifetime, now)
  if uri == '' then
    redis.call('SET', 'denzel:task:' .. id, record, 'EX', lifetime)
  else
    redis.call('SET', 'denzel:task:' .. id, record)
    redis.call('HSET', 'denzel:callback:' .. id, 'uri', uri, 'state', 'PENDING',
      'attempts', 0, 'since', now)
    redis.call('ZADD', 'denzel:callbacks:due', now, id)
    redis.call('LPUSH', 'denzel:callbacks:wake', 1)
    redis.call('LTRIM', 'denzel:callbacks:wake', 0, 99)
  end
  redis.call('UNLINK', 'denzel:request:' .. id)
  for _, name in ipairs(redis.call('SMEMBERS', 'denzel:watchers:' .. id)) do
    redis.call('PUBLISH', 'denzel:ended:' .. name, id)
  end
end

local function forget(id)
  redis.call('ZREM', 'denzel:leased', id)
  redis.call('ZREM', 'denzel:queued', id)
  redis.call('HDEL', 'denzel:holders', id)
  redis.call('HDEL', 'denzel:deliveries', id)
end
"""
)

# ARGV: lifetime of a record in seconds, now, then id, record and callback URI in turn.
FINISH = (
    FINISH_ONE
    + """
local finished = 0
for i = 3, #ARGV, 3 do
  local id = ARGV[i]
  if final(id) then
    redis.call('DEL', 'denzel:stopping:' .. id)
  else
    finish(id, ARGV[i + 1], ARGV[i + 2], ARGV[1], ARGV[2])
    finished = finished + 1
  end
  forget(id)
end
return finished
"""
)


@dataclass(frozen=True)
class Begun:
    """An asynchronous request this worker may predict now, for the n-th time."""

    request: Request
    deliveries: int


class Ledger:
    """One worker's view of the ledger; ``lease_seconds`` is how long its word is taken.

    ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self,
        client: redis.Redis,
        holder: str,
        lease_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = client
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._begin = self._redis.register_script(_BEGIN)
        self._renew = self._redis.register_script(_RENEW)
        self._requeue = self._redis.register_script(_REQUEUE)

    def begin(self, task_ids: Sequence[str]) -> list[Begun]:
        """Take these requests and return those to predict.

        Left out is what is finished, was revoked, or is held by another living worker.
        """
        now = self._clock()
        answer = self._begin(args=[now, now + self._lease_seconds, self._holder, *task_ids])
        begun = []
        for task_id, deliveries, stored in zip(task_ids, answer[::2], answer[1::2], strict=True):
            if deliveries:
                begun.append(Begun(decode_stored_request(task_id, stored, True), deliveries))
        return begun

    def renew(self, task_ids: Iterable[str]) -> None:
        """Say that this worker still holds these requests."""
        task_ids = list(task_ids)
        if task_ids:
            self._renew(args=[self._clock() + self._lease_seconds, self._holder, *task_ids])

    def take_cancelled(self) -> list[str]:
        """Return requests this worker shall stop, each once."""
        found = self._redis.lpop(stop_key(self._holder), STOP_LIMIT)
        return [task_id.decode() for task_id in found or ()]

    def is_stopping(self, task_id: str) -> bool:
        """Tell whether a cancelled request is still being predicted."""
        return bool(self._redis.exists(stopping_key(task_id)))

    def requeue(self, task_ids: Sequence[str]) -> int:
        """Put requests back, each on its own, before all others; return how many were put."""
        if not task_ids:
            return 0
        sent = min(self._oldest_on_queue(), self._clock())
        arguments: list[str | bytes | float] = [sent]
        for task_id in task_ids:
            request = Request(task_id, None, None, True)
            arguments += [task_id, encode_prediction_message([request], "", sent=sent)]
        return int(self._requeue(args=arguments))

    def sweep(self) -> int:
        """Put back what no living worker holds; return how many requests that were."""
        now = self._clock()
        if not self._redis.set(SWEEP_LOCK_KEY, self._holder, nx=True, ex=5):
            return 0
        lapsed = self._redis.zrange(
            LEASED_KEY, "-inf", now, byscore=True, offset=0, num=SWEEP_LIMIT
        )
        oldest = min(self._oldest_on_queue(), now - self._lease_seconds)
        lost = self._redis.zrange(
            QUEUED_KEY, "-inf", oldest - LOST_MARGIN_SECONDS, byscore=True, offset=0,
            num=SWEEP_LIMIT,
        )  # fmt: skip
        return self.requeue([task_id.decode() for task_id in dict.fromkeys([*lapsed, *lost])])

    def _oldest_on_queue(self) -> float:
        """Return when the next message to be taken was sent; infinity for an empty queue."""
        message = self._redis.lindex(PREDICTIONS_QUEUE, -1)
        return float("inf") if message is None else orjson.loads(message)["headers"]["sent"]
