"""Callbacks that were given up do not fill Redis: they expire, and the oldest make room."""

from __future__ import annotations

import asyncio
from typing import Any

import redis

from app.runtime.callbacks.deliveries import Retention
from app.runtime.callbacks.schedule import Answer
from app.runtime.callbacks.undelivered import Undelivered

from ..deployment import Deployment
from ..polling import wait_until
from .services import DUE, connected, describe, queue, serving

FAILED = "denzel:callbacks:failed"


def fail(lab: Deployment, client: redis.Redis, ids: list[str], retention: Retention) -> None:
    """Have callbacks given up, one after the other."""
    queue(client, ((task_id, "http://receiver.example/") for task_id in ids))

    async def give_up() -> None:
        async with connected(lab, retention) as deliveries:
            callbacks = {each.task_id: each for each in await deliveries.take(len(ids))}
            for task_id in ids:
                answer = Answer(404, error="the receiver answered 404")
                await deliveries.record(callbacks[task_id], answer, None)

    asyncio.run(give_up())


def failed_ids(client: redis.Redis) -> set[str]:
    """Return the callbacks that were given up and are kept."""
    found: Any = client.zrange(FAILED, 0, -1)
    return {task_id.decode() for task_id in found}


def test_one_that_is_given_up_expires_with_its_prediction(
    alone: Deployment, client: redis.Redis
) -> None:
    fail(alone, client, ["a"], Retention(result_ttl=60, failed_ttl=600, failed_max=10))
    callback = describe(client, "a")
    assert callback["state"] == "FAILED"
    assert callback["expires_at"] - callback["last_at"] == 600
    assert 590 < client.ttl("denzel:callback:a") <= 600
    assert 590 < client.ttl("denzel:task:a") <= 600


def test_its_prediction_is_kept_for_as_long_as_any_other(
    alone: Deployment, client: redis.Redis
) -> None:
    fail(alone, client, ["a"], Retention(result_ttl=900, failed_ttl=60, failed_max=10))
    assert 50 < client.ttl("denzel:callback:a") <= 60
    assert 890 < client.ttl("denzel:task:a") <= 900


def test_the_oldest_go_first_when_there_are_too_many(
    alone: Deployment, client: redis.Redis
) -> None:
    ids = [f"id-{number}" for number in range(6)]
    fail(alone, client, ids, Retention(result_ttl=60, failed_ttl=600, failed_max=4))
    assert failed_ids(client) == set(ids[2:])
    assert describe(client, "id-0") == {}
    assert 50 < client.ttl("denzel:task:id-0") <= 60, "its prediction can be asked for as ever"


def test_none_is_kept_when_none_may_be(alone: Deployment, client: redis.Redis) -> None:
    fail(alone, client, ["a"], Retention(result_ttl=60, failed_ttl=600, failed_max=0))
    assert failed_ids(client) == set()
    assert describe(client, "a") == {}


def test_what_an_older_version_left_goes_with_the_limits_of_today(
    alone: Deployment, client: redis.Redis
) -> None:
    """They have no end of life; there may be more than one step removes."""
    now = client.time()[0]
    for number in range(250):
        client.hset(f"denzel:callback:{number}", mapping={"uri": "http://a.example/", "since": 0})
        client.set(f"denzel:task:{number}", "SUCCESS null")
        client.zadd(FAILED, {str(number): now - 500 + number})
    with serving(alone, retention=Retention(result_ttl=60, failed_ttl=400, failed_max=20)):
        wait_until(lambda: len(failed_ids(client)) == 20, 30, what="the oldest are forgotten")
    assert failed_ids(client) == {str(number) for number in range(230, 250)}
    assert len(client.keys("denzel:task:*")) == len(client.keys("denzel:callback:*")) == 20


def test_one_that_is_sent_again_no_longer_expires(alone: Deployment, client: redis.Redis) -> None:
    fail(alone, client, ["a"], Retention(result_ttl=60, failed_ttl=600, failed_max=10))
    assert Undelivered(client, result_ttl=60).retry(["a", "no-such-task"]) == 1
    assert client.ttl("denzel:callback:a") == client.ttl("denzel:task:a") == -1
    assert describe(client, "a")["expires_at"] is None
    assert client.zscore(DUE, "a") is not None and failed_ids(client) == set()
