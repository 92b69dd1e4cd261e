"""What stands in Redis of the processes that count."""

from __future__ import annotations

from typing import Any

import redis

from app.runtime.metrics.recorder import ProcessReport, arguments
from app.runtime.store.lua_scripts import load_script


def names(client: redis.Redis) -> list[str]:
    """Return the processes of which anything is stored."""
    found: Any = client.hkeys("denzel:metrics:processes")  # bytes, without decode_responses
    return sorted(name.decode().partition("/")[0] for name in found)


def test_processes_that_have_ended_are_forgotten_although_nobody_asks_for_figures(
    client: redis.Redis,
) -> None:
    record: Any = client.register_script(load_script("record_metrics"))
    first, second = ProcessReport("first"), ProcessReport("second")
    record(args=arguments(first, {}, 30))
    record(args=arguments(first, {}, -1))  # it has ended since then
    assert names(client) == ["first"]
    record(args=arguments(second, {}, 30))
    record(args=arguments(ProcessReport("third"), {}, 30))
    assert names(client) == ["second", "third"]
