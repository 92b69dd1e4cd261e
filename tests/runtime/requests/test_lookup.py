"""Where requests stand, and who is told of their end."""

from __future__ import annotations

import asyncio
from typing import Any

import redis
import redis.asyncio

from app.runtime.requests.lookup import WATCH_MARGIN_SECONDS, Lookup
from app.runtime.store.keys import task_key, watchers_key

from ..deployment import Deployment
from ..queues import Api

MANY = 2_500


def test_each_record_is_found_in_its_place(api: Api, client: redis.Redis) -> None:
    ids = api.accept(MANY)
    client.set(task_key(ids[3]), b'SUCCESS owner {"a": "b c\n"}')
    client.delete(task_key(ids[5]))
    found = api.find(*ids)
    assert found[3] == ("SUCCESS", b'{"a": "b c\n"}', "owner")
    assert found[5] is None
    assert [each and each.state for each in found].count("PENDING") == MANY - 2


def test_looking_up_needs_no_memory(api: Api, client: redis.Redis) -> None:
    (task_id,) = api.accept()
    client.config_set("maxmemory", 1)
    assert api.find(task_id, "unknown")[1] is None


def _no_script(name: str, *arguments: object) -> asyncio.Future[Any]:
    """Fail: watching runs no script."""
    raise AssertionError(f"the script {name} was run")


def test_who_watches_is_forgotten_some_time_after_it_gave_up(
    redis_server: Deployment, client: Any
) -> None:
    async def watch() -> None:
        async with redis.asyncio.from_url(redis_server.environment["REDIS_URL"]) as connection:
            await Lookup(_no_script, connection, "api").watch("id", 5.5)

    asyncio.run(watch())
    assert client.smembers(watchers_key("id")) == {b"api"}
    assert 5 < client.ttl(watchers_key("id")) <= 5 + WATCH_MARGIN_SECONDS
