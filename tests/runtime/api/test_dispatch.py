"""Requests travel from an API process to the queues, and outcomes back, on a real Redis."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
import redis

from app.runtime.api import dispatch
from app.runtime.api.dispatch import Dispatcher
from app.runtime.contract import FAILURE, NOBODY, REVOKED, SUCCESS, Outcome, Request
from app.runtime.requests.errors import KeyReused, QueueFull, WorkerLost
from app.runtime.requests.outcomes import Ended
from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE, control_channel

from ..deployment import Deployment
from ..queues import lapse, states, take, worker
from .dispatching import dispatching, finish_sync, outcomes, taken, until

OWNER, ANOTHER = "0123456789abcdef", "fedcba9876543210"


# Synchronous


def test_what_comes_in_together_leaves_together_and_each_gets_its_own_outcome(
    redis_server: Deployment, client: Any
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        client.config_resetstat()
        asking = [
            asyncio.create_task(dispatcher.predict(b"%d" % number, NOBODY, 20))
            for number in range(20)
        ]
        ids = await taken(client)
        assert len(ids) == 20
        # One to enqueue, which takes at least one look of the worker's.
        assert client.info("commandstats")["cmdstat_lpush"]["calls"] == 1
        finish_sync(client, dispatcher, *ids)
        for task_id, outcome in await asyncio.gather(*asking):
            assert outcome == Outcome(task_id, SUCCESS, b'"%b"' % task_id.encode())

    dispatching(redis_server, use)


def test_requests_leave_though_more_come_than_leave_together(
    redis_server: Deployment, client: redis.Redis
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        count = 2 * dispatch.LEAVE_TOGETHER + 3
        asking = [asyncio.create_task(dispatcher.predict(b"1", NOBODY, 20)) for _ in range(count)]
        await until(lambda: client.llen(SYNC_QUEUE) == count)
        ids = await taken(client)
        finish_sync(client, dispatcher, *ids)
        assert {task_id for task_id, _ in await asyncio.gather(*asking)} == set(ids)

    dispatching(redis_server, use)


def test_ids_are_random(redis_server: Deployment, client: redis.Redis) -> None:
    """Nothing of one can be derived from another."""

    async def use(dispatcher: Dispatcher) -> None:
        asking = [asyncio.create_task(dispatcher.predict(b"1", NOBODY, 20)) for _ in range(30)]
        ids = await taken(client)
        parts = [part for each in ids for part in each.split("-")[:1] + each.split("-")[4:]]
        assert len(set(parts)) == 60
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    dispatching(redis_server, use)


def test_a_client_whose_time_is_up_can_ask_later(
    redis_server: Deployment, client: redis.Redis
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        asking = asyncio.create_task(dispatcher.predict(b"1", OWNER, 3))
        (held,) = await taken(client)
        task_id, outcome = await asking
        assert (task_id, outcome) == (held, None)
        found = await dispatcher.find(task_id, OWNER)
        assert found is not None
        assert (found.state, found.owner) == ("PENDING", OWNER)
        waiting = asyncio.create_task(dispatcher.wait(task_id, 20))
        await until(lambda: client.keys("denzel:watchers:*"))
        finish_sync(client, dispatcher, task_id)
        assert await waiting == Outcome(task_id, SUCCESS, b'"%b"' % task_id.encode())

    dispatching(redis_server, use)


def test_a_request_that_was_not_begun_in_time_is_revoked(
    redis_server: Deployment, client: redis.Redis
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        task_id, outcome = await dispatcher.predict(b"1", NOBODY, 0.2)
        assert outcome is None
        assert take(worker(client))[0] == []
        assert states(client, [task_id]) == [REVOKED]

    dispatching(redis_server, use)


def test_a_client_that_has_gone_is_not_predicted_for(
    redis_server: Deployment, client: redis.Redis
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        gone, here = (asyncio.create_task(dispatcher.predict(b"1", NOBODY, 20)) for _ in range(2))
        await until(lambda: client.llen(SYNC_QUEUE) == 2)
        gone.cancel()
        await until(lambda: client.exists("denzel:abandoned"))
        (task_id,) = await taken(client)
        finish_sync(client, dispatcher, task_id)
        assert (await here)[0] == task_id

    dispatching(redis_server, use)


def test_one_that_goes_before_its_request_has_left_leaves_nothing(
    redis_server: Deployment, client: redis.Redis
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        gone = asyncio.create_task(dispatcher.predict(b"1", NOBODY, 20))
        here = asyncio.create_task(dispatcher.predict(b"2", NOBODY, 0.2))
        asyncio.get_running_loop().call_soon(gone.cancel)
        await here
        assert client.llen(SYNC_QUEUE) == 1

    dispatching(redis_server, use)


def test_what_a_dead_worker_held_is_sent_again_and_the_second_time_given_up(
    redis_server: Deployment, client: Any
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        asking = asyncio.create_task(dispatcher.predict(b"1", NOBODY, 60))
        me = worker(client, "lab/host/me")
        ids = []
        for holder in ("lab/host/a", "lab/host/b"):
            ids += await taken(client, holder)
            lapse(client, holder)
            assert me.recover() == (0, 1)
        assert ids[0] == ids[1]
        with pytest.raises(WorkerLost):
            await asking

    dispatching(redis_server, use)


# Asynchronous


def test_many_are_stored_by_few_commands(redis_server: Deployment, client: Any) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        requests = [Request(str(uuid4()), b"1", OWNER) for _ in range(500)]
        client.config_resetstat()
        await asyncio.gather(*map(dispatcher.submit, requests))
        assert states(client, [each.id for each in requests]) == ["PENDING"] * 500
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] < 10

    dispatching(redis_server, use)


def test_those_there_is_no_room_for_are_refused(
    redis_server: Deployment, client: redis.Redis
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        requests = [Request(str(uuid4()), b"1") for _ in range(8)]
        submitted = await asyncio.gather(
            *map(dispatcher.submit, requests), return_exceptions=True
        )  # fmt: skip
        assert [type(each) for each in submitted] == [type(None)] * 5 + [QueueFull] * 3
        with pytest.raises(QueueFull):
            await dispatcher.submit_once(Request(str(uuid4()), b"1"), "key", b"body")
        assert client.llen(PREDICTIONS_QUEUE) == 5

    dispatching(redis_server, use, MAX_QUEUE="5")


def test_no_memory_is_a_full_queue(redis_server: Deployment, client: redis.Redis) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        client.config_set("maxmemory", 1)
        with pytest.raises(QueueFull, match="memory"):
            await dispatcher.submit(Request(str(uuid4()), b"1"))
        with pytest.raises(QueueFull, match="memory"):
            await dispatcher.predict(b"1", NOBODY, 5)

    dispatching(redis_server, use)


def test_a_key_stands_for_one_request_and_one_body(
    redis_server: Deployment, client: redis.Redis
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        claims = await asyncio.gather(
            *(
                dispatcher.submit_once(Request(str(uuid4()), b"1"), "key", b"body")
                for _ in range(20)
            )
        )
        assert len({claim.task_id for claim in claims}) == 1
        assert sum(claim.is_new for claim in claims) == 1
        with pytest.raises(KeyReused):
            await dispatcher.submit_once(Request(str(uuid4()), b"1"), "key", b"another")

    dispatching(redis_server, use)


def test_who_waits_is_told_though_the_end_came_first(
    redis_server: Deployment, client: redis.Redis
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        request = Request(str(uuid4()), b"1", OWNER)
        await dispatcher.submit(request)
        outcomes(client).finish([Ended(Outcome(request.id, FAILURE, b"{}"))])
        assert await dispatcher.wait(request.id, 20) == Outcome(request.id, FAILURE, b"{}")

    dispatching(redis_server, use)


def test_who_waits_in_vain_is_told_nothing(redis_server: Deployment, client: redis.Redis) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        request = Request(str(uuid4()), b"1")
        await dispatcher.submit(request)
        assert await dispatcher.wait(request.id, 0.2) is None
        assert await dispatcher.wait("unknown", 0) is None

    dispatching(redis_server, use)


# Owners


def test_anothers_request_is_unknown(redis_server: Deployment, client: redis.Redis) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        request = Request(str(uuid4()), b"1", OWNER)
        await dispatcher.submit(request)
        for stranger in (ANOTHER, NOBODY):
            assert await dispatcher.find(request.id, stranger) is None
            assert not await dispatcher.cancel(request.id, stranger)
        assert await dispatcher.find(request.id, OWNER) is not None
        assert await dispatcher.cancel(request.id, OWNER)

    dispatching(redis_server, use)


# What is said on its channels


def test_garbage_on_its_channels_does_not_make_it_deaf(
    redis_server: Deployment, client: redis.Redis
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        asking = asyncio.create_task(dispatcher.predict(b"1", NOBODY, 20))
        (task_id,) = await taken(client)
        for channel in client.pubsub_channels("denzel:*"):
            for garbage in (b"", b"garbage", b"{}", b'[["x",9]]\n', b"\xff\n", b"[1]\n"):
                client.publish(channel, garbage)
        finish_sync(client, dispatcher, task_id)
        assert (await asking)[0] == task_id

    dispatching(redis_server, use)


def test_a_change_of_the_response_mode_is_obeyed_and_receipted(
    redis_server: Deployment, client: redis.Redis
) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        message = b'{"is_async":true,"timeout":7.5,"receipt":"denzel:receipt"}'
        client.publish(control_channel(0), message)
        await until(lambda: client.lrange("denzel:receipt", 0, -1) == [dispatcher.name.encode()])
        assert (dispatcher.response_mode.is_async, dispatcher.response_mode.timeout) == (True, 7.5)

    dispatching(redis_server, use)
