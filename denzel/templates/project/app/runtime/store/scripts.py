"""Parts that several Lua scripts share."""

from __future__ import annotations

from app.runtime.store.keys import WORK_CHANNEL

# Puts a message on a list of tasks, with LPUSH behind all others and with RPUSH before them.
# Workers are called when the list was empty; otherwise they have not found its end yet.
QUEUE_TASK = f"""
local function queue_task(push, list, message)
  if redis.call(push, list, message) == 1 then redis.call('PUBLISH', '{WORK_CHANNEL}', '') end
end
"""

# Calls a command with what a list holds, in parts, since a call takes some thousands of arguments
# at most; returns its answers as one list.  One command for a group takes Redis a fraction of what
# one for each request does.
IN_PARTS = """
local function in_parts(list, call)
  local answers = {}
  for first = 1, #list, 1000 do
    local part = call(unpack(list, first, math.min(first + 999, #list)))
    if type(part) == 'table' then
      for _, answer in ipairs(part) do answers[#answers + 1] = answer end
    end
  end
  return answers
end
"""

WHEN_FULL = "#!lua flags=allow-oom\n"
"""Begins a script that runs although Redis's memory is full: it needs next to none itself, and
what keeps memory from being freed again would not get done without it (Redis 7 and newer)."""
