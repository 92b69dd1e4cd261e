"""Cancel a request: one that is queued never runs, one that is running is stopped if allowed.

Its record says REVOKED from then on, and nothing that a worker still does with it counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
import redis.asyncio
from redis.exceptions import RedisError

from app.runtime.api.errors import NotCancelled, QueueUnavailable
from app.runtime.contract import FINAL_STATES, REVOKED
from app.runtime.requests.ledger import FINISH_ALL
from app.runtime.store.codecs import encode_record
from app.runtime.store.scripts import WHEN_FULL

STOP_SECONDS = 60
"""How long a worker is asked to stop a prediction it has not been found to make."""

# ARGV: id, lifetime of a record in seconds, now, record, 1 if a running one may be stopped,
# seconds to ask for that.  Returns REVOKED, or why not and the
# state.
_CANCEL = (
    WHEN_FULL
    + FINISH_ALL
    + """
local id = ARGV[1]
local record = redis.call('GET', 'denzel:task:' .. id)
if not record then return 'synchronous' end
local state = string.match(record, '^%S+')
if is_final(record) then return 'ended ' .. state end
local stored = redis.call('GET', 'denzel:request:' .. id)
local listed = redis.call('ZSCORE', 'denzel:queued', id)
  or redis.call('ZSCORE', 'denzel:leased', id)
if not stored or not listed then return 'synchronous ' .. state end
if state == 'STARTED' then
  local holder = redis.call('HGET', 'denzel:holders', id)
  if ARGV[5] ~= '1' or not holder then return 'running ' .. state end
  redis.call('SET', 'denzel:stopping:' .. id, holder, 'EX', ARGV[6])
  redis.call('RPUSH', 'denzel:stop:' .. holder, id)
  redis.call('EXPIRE', 'denzel:stop:' .. holder, ARGV[6])
end
local uri = cjson.decode(string.match(stored, '^[^\\n]*'))
finish({id}, {ARGV[4]}, {type(uri) == 'string' and uri or ''}, ARGV[2], ARGV[3])
forget({id})
return 'REVOKED'
"""
)

CANCELLED = orjson.dumps({"args": ["cancelled"], "type": "TaskRevokedError"})
"""What ``/status`` shows as the result of a cancelled request."""


class Cancellation:
    """Cancels this deployment's requests; ``stop_running`` allows to stop running ones."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        result_ttl: int,
        *,
        stop_running: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cancel: Any = client.register_script(_CANCEL)
        self._result_ttl = result_ttl
        self._stop_running = stop_running
        self._clock = clock

    async def cancel(self, task_id: str, state: str) -> None:
        """Cancel a request that was in ``state`` of late.

        Raises NotCancelled with the state it is in, and QueueUnavailable.
        """
        if state in FINAL_STATES:
            raise NotCancelled(REASONS["ended"], status=state)
        record = encode_record(REVOKED, CANCELLED)
        arguments = [
            task_id, self._result_ttl, self._clock(), record, int(self._stop_running), STOP_SECONDS
        ]  # fmt: skip
        try:
            answer = await self._cancel(args=arguments)
        except (RedisError, OSError) as error:
            raise QueueUnavailable(f"Redis cannot be asked: {error}") from error
        verdict, _, now = answer.decode().partition(" ")
        if verdict != REVOKED:
            raise NotCancelled(REASONS[verdict], status=now or state)


REASONS = {
    "ended": "The task has ended already",
    "running": "The task is running; this deployment stops none that runs (CANCEL_RUNNING)",
    "synchronous": "The task is one of a synchronous request, which cannot be cancelled",
}
