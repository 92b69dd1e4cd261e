"""Where requests stand, and who is told of their end."""

from __future__ import annotations

from typing import Any

import redis

from app.runtime.requests.lookup import WATCH_MARGIN_SECONDS
from app.runtime.store.keys import task_key, watchers_key

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


def test_who_watches_is_forgotten_some_time_after_it_gave_up(api: Api, client: Any) -> None:
    api.do(api.lookup.watch("id", 5.5))
    assert client.smembers(watchers_key("id")) == {api.name.encode()}
    assert 5 < client.ttl(watchers_key("id")) <= 5 + WATCH_MARGIN_SECONDS


def test_who_watches_for_a_moment_does_not_have_others_forgotten(api: Api, client: Any) -> None:
    api.do(api.lookup.watch("id", 60))
    api.do(api.lookup.watch("id", 1))
    assert client.ttl(watchers_key("id")) > 60


def test_watching_needs_no_memory(api: Api, client: Any) -> None:
    client.config_set("maxmemory", 1)
    api.do(api.lookup.watch("id", 5))
    assert client.smembers(watchers_key("id")) == {api.name.encode()}
