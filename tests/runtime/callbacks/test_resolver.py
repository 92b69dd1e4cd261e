"""Lookups of names: once for all that ask, kept for a moment, and never in the others' way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from app.runtime.callbacks.resolver import LOOKUPS_PER_ZONE, Resolver
from app.runtime.callbacks.slots import Crowded


def test_one_lookup_serves_all_that_ask_meanwhile_and_just_after() -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["192.0.2.1"]

    async def look_up() -> None:
        resolver = Resolver(resolve)
        found = await asyncio.gather(*(resolver.lookup("a.example", 80) for _ in range(5)))
        assert found == [["192.0.2.1"]] * 5
        assert await resolver.lookup("a.example", 443) == ["192.0.2.1"]

    asyncio.run(look_up())
    assert asked == ["a.example"]


def test_a_failure_is_kept_for_a_moment_too() -> None:
    asked: list[str] = []

    def fail(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        raise OSError("no such name")

    async def look_up() -> None:
        resolver = Resolver(fail)
        for _ in range(3):
            with pytest.raises(OSError, match="no such name"):
                await resolver.lookup("a.example", 80)

    asyncio.run(look_up())
    assert asked == ["a.example"]


def test_a_zone_whose_name_server_hangs_has_few_threads_and_others_go_on() -> None:
    release = threading.Event()

    def resolve(host: str, port: int) -> Sequence[str]:
        if host.endswith("hang.example"):
            release.wait(30)
        return ["192.0.2.1"]

    async def look_up() -> None:
        resolver = Resolver(resolve)
        stuck = []
        for number in range(LOOKUPS_PER_ZONE):
            lookup = resolver.lookup(f"{number}.hang.example", 80)
            stuck.append(asyncio.create_task(lookup))
        await asyncio.sleep(0)
        with pytest.raises(Crowded):
            await resolver.lookup("more.hang.example", 80)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        with pytest.raises(Crowded):  # whoever asked has given up, the threads have not
            await resolver.lookup("more.hang.example", 80)
        assert await resolver.lookup("other.example.org", 80) == ["192.0.2.1"]
        release.set()
        while resolver.slots.room("lookup hang.example") < LOOKUPS_PER_ZONE:
            await asyncio.sleep(0.01)
        assert await resolver.lookup("more.hang.example", 80) == ["192.0.2.1"]

    try:
        asyncio.run(asyncio.wait_for(look_up(), 30))
    finally:
        release.set()
