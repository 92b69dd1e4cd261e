"""How synchronous requests pass through Redis without waiting for its disk.

With REDIS_FSYNC=always, Redis answers nobody before what it was given to store is on disk.  That
is what an accepted request is promised, which outlives its client.  A synchronous one is worth
what its client waits for: should Redis end meanwhile, the API sends it again (``dispatch.py``).
So its task, its payload and its outcome are put into Redis by scripts that leave them out of what
Redis writes (``redis.set_repl``, redis.io/docs/latest/develop/programmability/lua-api).  Outcomes
can be asked for afterwards, so each second the API has those of the last second written, together.

What stands in Redis at the moment it rewrites its file is in the file all the same: then a task
that is done may come back with Redis, and is predicted again for nobody.

Celery tasks of synchronous requests have a list of their own; ``feed.py`` takes them off it.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.runtime.contract import Request
from app.runtime.store.codecs import Reply, encode_record, encode_stored_request
from app.runtime.store.keys import SYNC_QUEUE, frame_key, request_key, task_key
from app.runtime.store.scripts import QUEUE_TASK, WHEN_FULL

Command = tuple[str | bytes | float, ...]
"""A command to Redis and its arguments."""

_UNWRITTEN = "redis.set_repl(redis.REPL_NONE)\n"

# ARGV: LPUSH or RPUSH, message.
_PUSH = _UNWRITTEN + QUEUE_TASK + f"queue_task(ARGV[1], '{SYNC_QUEUE}', ARGV[2])"

# ARGV: seconds they last, then key and stored request in turn.
_STORE = (
    _UNWRITTEN
    + """
for i = 2, #ARGV, 2 do redis.call('SET', ARGV[i], ARGV[i + 1], 'EX', ARGV[1]) end
"""
)

# When memory is full, SET ends the script: what frees some comes before it.
# ARGV: channel, frame, key of the outcome, the outcome or nothing for the frame, seconds it
# lasts, keys that are needed no more.
_FINISH = (
    _UNWRITTEN
    + """
redis.call('PUBLISH', ARGV[1], ARGV[2])
for i = 6, #ARGV do redis.call('UNLINK', ARGV[i]) end
redis.call('SET', ARGV[3], ARGV[4] == '' and ARGV[2] or ARGV[4], 'EX', ARGV[5])
"""
)

# ARGV: keys.
_KEEP = (
    WHEN_FULL
    + """
for _, key in ipairs(ARGV) do
  local value, left = redis.call('GET', key), redis.call('PTTL', key)
  if value and left > 0 then redis.call('SET', key, value, 'PX', left) end
end
"""
)


def push(message: bytes, *, first: bool = False) -> Command:
    """Return what puts a task on the queue, behind all others unless it shall be ``first``."""
    return ("EVAL", _PUSH, "0", "RPUSH" if first else "LPUSH", message)


def store(requests: Sequence[Request], seconds: int) -> Command:
    """Return what stores requests beside their task's message for so many seconds."""
    stored: list[str | bytes] = []
    for request in requests:
        stored += [request_key(request.id), encode_stored_request(request)]
    return ("EVAL", _STORE, "0", str(seconds), *stored)


def finish(
    reply: Reply, frame: bytes, channel: str, seconds: int, beside: Sequence[str]
) -> Command:
    """Return what tells a group's outcomes on a channel, then stores them for so many seconds.

    ``frame`` is the encoded reply, ``beside`` are requests that stood beside the message.
    """
    outcome = b""
    if len(reply.outcomes) == 1:
        outcome = encode_record(reply.outcomes[0].state, reply.outcomes[0].body)
    return (
        "EVAL", _FINISH, "0", channel, frame, outcome_key(reply), outcome, str(seconds),
        *map(request_key, beside),
    )  # fmt: skip


def keep(keys: Sequence[str]) -> Command:
    """Return what has the outcomes at ``keys`` written to disk."""
    return ("EVAL", _KEEP, "0", *keys)


def outcome_key(reply: Reply) -> str:
    """Return where a group's outcomes are stored: as they were sent, a lone one in its record."""
    return task_key(reply.group) if len(reply.outcomes) == 1 else frame_key(reply.group)
