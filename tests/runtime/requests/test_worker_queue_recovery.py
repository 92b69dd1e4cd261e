"""Leases, and what is held by workers that have lost theirs."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import redis

from app.runtime.contract import FAILURE, SUCCESS
from app.runtime.requests.acceptance import TIMED_OUT_SECONDS
from app.runtime.requests.worker_queue import RECOVERY_LIMIT, Demand
from app.runtime.store.codecs import decode_reply
from app.runtime.store.keys import (
    PREDICTIONS_QUEUE,
    SYNC_QUEUE,
    WORKERS_KEY,
    reply_channel,
    task_key,
    watchers_key,
)
from app.runtime.store.messages import decode_message

from ..queues import (
    LOST_CHANNEL,
    QUEUES,
    WORK_CHANNEL,
    Api,
    held,
    lapse,
    record,
    states,
    take,
    worker,
)

OWNER = "0123456789abcdef"
FULL = Demand(size=4000, wait=0.0, seconds=0.0, free=1)


def test_renewing_tells_what_is_held(api: Api, client: redis.Redis) -> None:
    queue = worker(client)
    sync, asynchronous = api.enqueue(2), api.accept(2)
    take(queue)
    take(queue)
    assert queue.renew() == (set(asynchronous), set(sync))


def test_what_a_dead_worker_held_goes_back_and_the_living_keep_theirs(
    api: Api, client: redis.Redis
) -> None:
    dead, living, me = (worker(client, f"lab/host/{name}") for name in ("dead", "living", "me"))
    for queue in (dead, living, me):
        api.accept(2)
        api.enqueue(1)
        take(queue, first_queue=PREDICTIONS_QUEUE)
        take(queue, first_queue=SYNC_QUEUE)
    theirs = held(client, "lab/host/living"), held(client, "lab/host/me")
    asynchronous, sync = dead.renew()
    assert me.recover() == (0, 0)
    lapse(client, "lab/host/dead")
    api.hear(WORK_CHANNEL)
    assert me.recover() == (2, 1)
    assert held(client, "lab/host/dead") == set()
    assert (held(client, "lab/host/living"), held(client, "lab/host/me")) == theirs
    assert api.hear(LOST_CHANNEL) == [" ".join(sync).encode()]
    assert len(api.hear(WORK_CHANNEL)) == 1
    assert states(client, list(asynchronous)) == ["PENDING"] * 2
    # Each may have been what ended the worker, so each is tried alone.
    assert {take(me)[0][0], take(me)[0][0]} == asynchronous
    assert client.zscore(WORKERS_KEY, "lab/host/dead") is None
    assert me.recover() == (0, 0)


def test_predecessors_are_dead_though_their_leases_last(api: Api, client: redis.Redis) -> None:
    before, other = worker(client, "lab/host/1"), worker(client, "lab/another/1")
    api.accept(1)
    take(before)
    api.accept(1)
    take(other)
    me = worker(client, "lab/host/2")
    api.accept(1)
    take(me)
    assert me.recover("lab/host/") == (1, 0)
    assert held(client, "lab/another/1") != set()
    assert held(client, "lab/host/2") != set()
    assert client.zscore(WORKERS_KEY, "lab/host/2") is not None


def test_a_worker_that_lost_its_lease_does_not_recover_itself(
    api: Api, client: redis.Redis
) -> None:
    me = worker(client)
    (task_id,) = api.accept()
    take(me)
    lapse(client, me.holder)
    assert me.recover() == (0, 0)
    assert held(client) == {task_id}


def test_many_are_recovered_a_part_at_a_time(api: Api, client: Any) -> None:
    dead, me = worker(client, "lab/host/dead"), worker(client)
    ids = api.accept(RECOVERY_LIMIT + 10)
    take(dead, FULL)
    lapse(client, dead.holder)
    assert me.recover() == (RECOVERY_LIMIT, 0)
    assert me.recover() == (10, 0)
    assert me.recover() == (0, 0)
    assert sorted(
        decode_message(each).id for each in client.lrange(PREDICTIONS_QUEUE, 0, -1)
    ) == sorted(ids)


@pytest.mark.parametrize("place", ["head", "end"])
def test_foreign_messages_do_not_stop_recovery(api: Api, client: Any, place: str) -> None:
    dead, me = worker(client, "lab/host/dead"), worker(client)
    ids = api.accept(2)
    take(dead)
    lapse(client, dead.holder)
    for queue in QUEUES:
        (client.rpush if place == "head" else client.lpush)(queue, b"garbage", b"{}")
    assert me.recover() == (2, 0)
    assert sorted(take(me)[0] + take(me)[0] + take(me)[0] + take(me)[0]) == sorted(ids)


def test_a_lease_that_is_withdrawn_is_nobodys(api: Api, client: redis.Redis) -> None:
    queue = worker(client)
    queue.withdraw()
    assert client.zscore(WORKERS_KEY, queue.holder) is None


def test_an_extended_lease_lasts(client: redis.Redis) -> None:
    queue = worker(client)
    queue.extend(500)
    until: Any = client.zscore(WORKERS_KEY, queue.holder)
    now: Any = client.time()
    assert 490 < until - now[0] < 502


def test_lost_synchronous_requests_are_reported_and_no_longer_held(
    api: Api, client: redis.Redis
) -> None:
    queue = worker(client)
    (lost, kept) = api.enqueue(2)
    take(queue)
    queue.report_lost([lost])
    assert api.hear(LOST_CHANNEL) == [lost.encode()]
    assert held(client) == {kept}


@pytest.mark.parametrize("how", ["reported", "recovered"])
def test_a_lost_request_fails_if_its_clients_time_is_up(
    api: Api, client: redis.Redis, how: str
) -> None:
    """Nobody sends it again, so it would be PENDING for as long as its record lasts."""
    queue = worker(client, "lab/host/dead")
    given_up, waited_for, ended = api.enqueue(3)
    take(queue)
    for task_id in (given_up, ended):
        api.do(api.acceptance.time_out(task_id, OWNER))
    client.set(task_key(ended), f"SUCCESS {OWNER} {{}}")
    client.sadd(watchers_key(given_up), api.name)
    if how == "reported":
        queue.report_lost([given_up, waited_for, ended])
    else:
        lapse(client, queue.holder)
        assert worker(client).recover() == (0, 3)
    assert states(client, [given_up, waited_for, ended]) == [FAILURE, None, SUCCESS]
    found = record(client, given_up)
    assert found is not None
    assert (found.owner, orjson.loads(found.body)["type"]) == (OWNER, "WorkerLostError")
    assert 0 < client.ttl(task_key(given_up)) <= TIMED_OUT_SECONDS
    (reply,) = api.hear(reply_channel(api.name))
    assert [(each.id, each.state) for each in decode_reply(reply)] == [(given_up, FAILURE)]
    assert api.hear(LOST_CHANNEL) != []
