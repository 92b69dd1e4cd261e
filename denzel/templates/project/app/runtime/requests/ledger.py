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

from app.runtime.contract import Request
from app.runtime.store.codecs import decode_stored_request
from app.runtime.store.keys import LEASED_KEY, PREDICTIONS_QUEUE, QUEUED_KEY, stop_key, stopping_key
from app.runtime.store.lua_scripts import load_script
from app.runtime.store.messages import encode_prediction_message
from app.runtime.store.scripts import IN_PARTS, QUEUE_TASK, WHEN_FULL

SWEEP_LIMIT = 200
STOP_LIMIT = 100
SWEEP_LOCK_KEY = "denzel:sweeping"
LOST_MARGIN_SECONDS = 10.0
"""How much older than anything on the queue a queued request must be to count as lost."""

# A record that has expired was final.
_IS_FINAL = """
local function is_final(record)
  return not record or string.find(record, '^SUCCESS') or string.find(record, '^FAILURE')
    or string.find(record, '^REVOKED')
end
"""

FINAL = (
    _IS_FINAL
    + """
local function final(id) return is_final(redis.call('GET', 'denzel:task:' .. id)) end
"""
)

# with_prefix returns keys that end with an id each, mget what stands there.
_KEYS = (
    IN_PARTS
    + """
local function with_prefix(prefix, ids)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = prefix .. id end
  return keys
end

local function mget(prefix, ids)
  return in_parts(with_prefix(prefix, ids), function(...) return redis.call('MGET', ...) end)
end
"""
)

# The feed takes a task off the queue without having that written (worker/feed.py), so that
# Redis waits for its disk once, here.  Any task will do for it: one that nobody sees is put where
# the first one was, and what is written is that it was taken.
# So the list that comes back with a Redis that was killed may still have tasks that were taken,
# and lack as many as were being taken while it rewrote its file.  The first kind is met twice and
# not begun twice, the second is found by sweep.
_WRITE_REMOVAL = """
local function write_removal()
  redis.set_repl(redis.REPL_NONE)
  redis.call('RPUSH', 'predictions', '')
  redis.set_repl(redis.REPL_ALL)
  redis.call('RPOP', 'predictions')
end
"""

# A request whose process has died is put back before it is begun again, so one that this very
# worker has begun and holds came with a task that was there twice.  Payloads are read one by one:
# together they may be large.
# ARGV: now, end of the lease, holder, 1 if a task was taken for it, ids.
# Returns for each id: deliveries and stored request, or 0 and nothing.
_BEGIN = (
    WHEN_FULL
    + _IS_FINAL
    + _KEYS
    + _WRITE_REMOVAL
    + """
local now, lease, holder, from_queue = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4] == '1'
local ids = {}
for i = 5, #ARGV do ids[#ids + 1] = ARGV[i] end
if from_queue then write_removal() end

local function of_all(command, key)
  return in_parts(ids, function(...) return redis.call(command, key, ...) end)
end
local leased_until = of_all('ZMSCORE', 'denzel:leased')
local holder_of = of_all('HMGET', 'denzel:holders')
local deliveries_of = of_all('HMGET', 'denzel:deliveries')
local records = mget('denzel:task:', ids)

local function is_held(i)
  local is_leased = leased_until[i] and tonumber(leased_until[i]) > now and holder_of[i]
  return is_leased and (holder_of[i] ~= holder or from_queue and records[i] == 'STARTED null')
end

local answer, begun, leases, holders, deliveries, states = {}, {}, {}, {}, {}, {}
for i, id in ipairs(ids) do
  if is_final(records[i]) or is_held(i) then
    answer[2 * i - 1], answer[2 * i] = 0, ''
  else
    local n, count = 2 * #begun, (tonumber(deliveries_of[i]) or 0) + 1
    begun[#begun + 1] = id
    leases[n + 1], leases[n + 2] = lease, id
    holders[n + 1], holders[n + 2] = id, holder
    deliveries[n + 1], deliveries[n + 2] = id, count
    states[n + 1], states[n + 2] = 'denzel:task:' .. id, 'STARTED null'
    answer[2 * i - 1] = count
    answer[2 * i] = redis.call('GET', 'denzel:request:' .. id) or ''
  end
end
in_parts(leases, function(...) return redis.call('ZADD', 'denzel:leased', ...) end)
in_parts(begun, function(...) return redis.call('ZREM', 'denzel:queued', ...) end)
in_parts(holders, function(...) return redis.call('HSET', 'denzel:holders', ...) end)
in_parts(deliveries, function(...) return redis.call('HSET', 'denzel:deliveries', ...) end)
in_parts(states, function(...) return redis.call('MSET', ...) end)
return answer
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
# end of a request it did not send (app/runtime/api/watch.py) is told.
FINISH_ALL = (
    load_script("redis_time")
    + load_script("queue_callback")
    + _IS_FINAL
    + _KEYS
    + """
local function end_one(id, record, uri, lifetime, now)
  if uri == '' then
    redis.call('SET', 'denzel:task:' .. id, record, 'EX', lifetime)
  else
    redis.call('SET', 'denzel:task:' .. id, record)
    queue_callback(id, uri, redis_time())
  end
end

local function tell_watchers(ids)
  local watched = 0
  in_parts(with_prefix('denzel:watchers:', ids), function(...)
    watched = watched + redis.call('EXISTS', ...)
  end)
  if watched == 0 then return end
  for _, id in ipairs(ids) do
    for _, name in ipairs(redis.call('SMEMBERS', 'denzel:watchers:' .. id)) do
      redis.call('PUBLISH', 'denzel:ended:' .. name, id)
    end
  end
end

local function finish(ids, records, uris, lifetime, now)
  for i, id in ipairs(ids) do end_one(id, records[i], uris[i], lifetime, now) end
  in_parts(with_prefix('denzel:request:', ids), function(...) return redis.call('UNLINK', ...) end)
  tell_watchers(ids)
end

local function forget(ids)
  in_parts(ids, function(...)
    redis.call('ZREM', 'denzel:leased', ...)
    redis.call('ZREM', 'denzel:queued', ...)
    redis.call('HDEL', 'denzel:holders', ...)
    redis.call('HDEL', 'denzel:deliveries', ...)
  end)
end
"""
)

# ARGV: lifetime of a record in seconds, now, then id, record and callback URI in turn.
FINISH = (
    FINISH_ALL
    + """
local all, ids, records, uris = {}, {}, {}, {}
for i = 3, #ARGV, 3 do all[#all + 1] = ARGV[i] end
for i, before in ipairs(mget('denzel:task:', all)) do
  if is_final(before) then
    redis.call('DEL', 'denzel:stopping:' .. all[i])
  else
    local n = #ids + 1
    ids[n], records[n], uris[n] = all[i], ARGV[3 * i + 1], ARGV[3 * i + 2]
  end
end
finish(ids, records, uris, ARGV[1], ARGV[2])
forget(all)
return #ids
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

    def begin(self, task_ids: Sequence[str], *, from_queue: bool = True) -> list[Begun]:
        """Take these requests and return those to predict.

        Left out is what is finished, was revoked, or is held by another living worker.
        ``from_queue`` says that they came with a task that was taken off the queue for them.
        """
        now = self._clock()
        answer = self._begin(
            args=[now, now + self._lease_seconds, self._holder, int(from_queue), *task_ids]
        )
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
