"""Take asynchronous requests on: into the ledger and onto the queue, in one step in Redis.

A request is accepted once it stands in both, so every step is one script: no process can die
halfway, and the queue never grows past ``MAX_QUEUE``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis.asyncio

from app.runtime.api.errors import KeyReused, QueueFull
from app.runtime.contract import Request
from app.runtime.store.codecs import encode_stored_request
from app.runtime.store.keys import idempotency_key
from app.runtime.store.messages import encode_prediction_message
from app.runtime.store.scripts import IN_PARTS, QUEUE_TASK

KEY_SECONDS = 86400
"""How long an Idempotency-Key is remembered."""

# accept takes ids and stored requests in turn, from the first-th of a list on.
_ACCEPT = (
    IN_PARTS
    + """
local function accept(list, first, now)
  local values, scores = {}, {}
  for i = first, #list, 2 do
    local id, m, n = list[i], #values, #scores
    values[m + 1], values[m + 2] = 'denzel:request:' .. id, list[i + 1]
    values[m + 3], values[m + 4] = 'denzel:task:' .. id, 'PENDING null'
    scores[n + 1], scores[n + 2] = now, id
  end
  in_parts(values, function(...) return redis.call('MSET', ...) end)
  in_parts(scores, function(...) return redis.call('ZADD', 'denzel:queued', ...) end)
end
"""
)

# ARGV: now, most that may be queued, message, then id and stored request in turn.
# Returns -1, or how many there is room for when that is not enough for all; then none is taken.
ACCEPT_GROUP = (
    _ACCEPT
    + QUEUE_TASK
    + """
local room = tonumber(ARGV[2]) - redis.call('ZCARD', 'denzel:queued')
if 2 * room < #ARGV - 3 then return math.max(room, 0) end
accept(ARGV, 4, ARGV[1])
queue_task('LPUSH', 'predictions', ARGV[3])
return -1
"""
)

# ARGV: now, most that may be queued, message, id, stored request, the key's claim, digest of
# the body, seconds the claim lasts.  Returns a verdict, and the id the key stands for.
_ACCEPT_KEYED = (
    _ACCEPT
    + QUEUE_TASK
    + """
local id = ARGV[4]
local claim = redis.call('GET', ARGV[6])
if claim then
  local known, digest = string.match(claim, '^(%S+) (%S+)$')
  if digest ~= ARGV[7] then return {'reused', known} end
  if redis.call('EXISTS', 'denzel:task:' .. known) == 1 then return {'known', known} end
  if known ~= id then return {'expired', known} end
end
if redis.call('ZCARD', 'denzel:queued') >= tonumber(ARGV[2]) then return {'full', id} end
redis.call('SET', ARGV[6], id .. ' ' .. ARGV[7], 'EX', ARGV[8])
accept({id, ARGV[5]}, 1, ARGV[1])
queue_task('LPUSH', 'predictions', ARGV[3])
return {'new', id}
"""
)


@dataclass(frozen=True)
class Claim:
    """What an Idempotency-Key stands for; ``is_new`` if this request was the first with it."""

    task_id: str
    is_new: bool


class Acceptance:
    """Puts requests into Redis for one API process, called ``name``."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        name: str,
        max_queue: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._max_queue = max_queue
        self._clock = clock
        self._accept_group: Any = client.register_script(ACCEPT_GROUP)
        self._accept_keyed: Any = client.register_script(_ACCEPT_KEYED)

    async def accept(self, requests: Sequence[Request]) -> int:
        """Queue the first of these requests as one task, as many as there is room for.

        Returns how many that were.
        """
        while requests:
            now = self._clock()
            message = encode_prediction_message(requests, self._name, sent=now)
            arguments: list[object] = [now, self._max_queue, message]
            for request in requests:
                arguments += [request.id, encode_stored_request(request)]
            room = await self._accept_group(args=arguments)
            if room < 0:
                break
            requests = requests[:room]
        return len(requests)

    async def accept_once(self, request: Request, key: str, body: bytes) -> Claim:
        """Queue a request unless ``key`` stands for one already; return which it stands for.

        ``body`` is what the client sent.  Where the record of an earlier one has expired, it
        is queued again under its old id.  Raises KeyReused when it came with another body, and
        QueueFull.
        """
        claim = idempotency_key(hashlib.sha256(key.encode()).hexdigest())
        digest = hashlib.sha256(body).hexdigest()
        task_id = request.id
        while True:
            again = Request(task_id, request.payload, request.callback_uri, True)
            now = self._clock()
            verdict, known = await self._accept_keyed(
                args=[
                    now, self._max_queue, encode_prediction_message([again], "", sent=now),
                    task_id, encode_stored_request(again), claim, digest, KEY_SECONDS,
                ]
            )  # fmt: skip
            if verdict == b"reused":
                raise KeyReused("This Idempotency-Key came with another body before")
            if verdict == b"full":
                raise queue_full(self._max_queue)
            if verdict != b"expired":
                return Claim(known.decode(), verdict == b"new")
            task_id = known.decode()


def queue_full(limit: int) -> QueueFull:
    """Return the error of a request there is no room for."""
    return QueueFull(f"{limit} requests are waiting already; nothing was queued")
