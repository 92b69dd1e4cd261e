"""Requests travel from an API process to the queues, and outcomes back, on a real Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from app.runtime.api import dispatch
from app.runtime.api.dispatch import Dispatcher
from app.runtime.contract import FAILURE, NOBODY, REVOKED, SUCCESS, Outcome, Request
from app.runtime.requests.errors import KeyReused, QueueFull, QueueUnavailable, WorkerLost
from app.runtime.requests.lookup import Lookup
from app.runtime.requests.outcomes import Ended, OutcomeStore
from app.runtime.settings import parse_settings
from app.runtime.store import connection
from app.runtime.store.codecs import Record
from app.runtime.store.keys import (
    PREDICTIONS_QUEUE,
    SYNC_QUEUE,
    control_channel,
    task_key,
)

from ..deployment import Deployment, deployed
from ..network import Network
from ..queues import RESULT_SECONDS, SOON, lapse, states, take, worker

OWNER, ANOTHER = "0123456789abcdef", "fedcba9876543210"
Use = Callable[[Dispatcher], Awaitable[Any]]


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Deployment]:
    """Yield a Redis that the test stops and starts."""
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        yield deployment


def dispatching(deployment: Deployment, use: Use, **settings: str) -> Any:
    """Return what ``use`` makes of an API process's dispatcher."""

    async def run() -> Any:
        values = parse_settings({"REDIS_URL": deployment.environment["REDIS_URL"], **settings})
        dispatcher = Dispatcher(values, batch_size=8)
        await dispatcher.start()
        try:
            async with asyncio.timeout(30):
                return await use(dispatcher)
        finally:
            await dispatcher.stop()

    return asyncio.run(run())


async def until(predicate: Callable[[], Any]) -> Any:
    """Return the predicate's first true value; the event loop runs meanwhile."""
    async with asyncio.timeout(SOON):
        while not (found := predicate()):
            await asyncio.sleep(0.01)
        return found


async def taken(client: redis.Redis, holder: str = "lab/host/1") -> list[str]:
    """Return the ids of the next batch, as soon as there is one."""
    queue = worker(client, holder)
    found: list[str] = await until(lambda: take(queue)[0])
    return found


def outcomes(client: redis.Redis) -> OutcomeStore:
    return OutcomeStore(client, "lab/host/1", RESULT_SECONDS)


def finish_sync(client: redis.Redis, dispatcher: Dispatcher, *task_ids: str) -> None:
    """Have a worker tell outcomes, each with its id as its body."""
    outcomes(client).finish_sync(
        [
            Ended(Outcome(each, SUCCESS, b'"%b"' % each.encode()), dispatcher.name, NOBODY)
            for each in task_ids
        ]
    )


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
        asking = asyncio.create_task(dispatcher.predict(b"1", OWNER, 0.5))
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


# Redis away and back again


def test_without_redis_everything_is_refused_at_once(apart: Deployment) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        apart.services.pop("redis").kill()
        await until(lambda: not dispatcher.is_open)
        for asked in (
            dispatcher.predict(b"1", NOBODY, 20),
            dispatcher.submit(Request("1", b"1")),
            dispatcher.submit_once(Request("1", b"1"), "key", b"body"),
            dispatcher.find("1", NOBODY),
            dispatcher.cancel("1", NOBODY),
            dispatcher.wait("1", 20),
        ):
            async with asyncio.timeout(2):
                with pytest.raises(QueueUnavailable, match="cannot be reached"):
                    await asked

    dispatching(apart, use)


def test_what_clients_wait_for_is_sent_again_to_a_new_redis(apart: Deployment) -> None:
    client = redis.Redis.from_url(apart.environment["REDIS_URL"])

    async def use(dispatcher: Dispatcher) -> None:
        asking = asyncio.create_task(dispatcher.predict(b"1", NOBODY, 30))
        await until(lambda: client.llen(SYNC_QUEUE) == 1)
        apart.services.pop("redis").kill()
        apart.start_redis()
        (task_id,) = await taken(client)
        finish_sync(client, dispatcher, task_id)
        assert (await asking)[0] == task_id

    dispatching(apart, use)
    client.close()


def test_an_end_that_came_while_the_connection_was_lost_is_found(apart: Deployment) -> None:
    client = redis.Redis.from_url(apart.environment["REDIS_URL"])

    async def use(dispatcher: Dispatcher) -> None:
        request = Request(str(uuid4()), b"1")
        await dispatcher.submit(request)
        waiting = asyncio.create_task(dispatcher.wait(request.id, 20))
        await until(lambda: client.keys("denzel:watchers:*"))
        client.client_kill_filter(_type="pubsub")
        client.set(task_key(request.id), b"SUCCESS - {}")
        assert await waiting == Outcome(request.id, SUCCESS, b"{}")

    dispatching(apart, use)
    client.close()


def test_a_connection_lost_while_a_wait_begins_is_no_error(
    apart: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = redis.Redis.from_url(apart.environment["REDIS_URL"])
    find = Lookup.find
    lost: list[int] = []

    async def lose_it_and_find(lookup: Lookup, task_ids: Sequence[str]) -> list[Record | None]:
        if not lost:
            lost.append(client.client_kill_filter(_type="pubsub"))
        return await find(lookup, task_ids)

    async def use(dispatcher: Dispatcher) -> None:
        request = Request(str(uuid4()), b"1")
        await dispatcher.submit(request)
        monkeypatch.setattr(Lookup, "find", lose_it_and_find)
        waiting = asyncio.create_task(dispatcher.wait(request.id, 20))
        await until(lambda: lost)
        client.set(task_key(request.id), b"SUCCESS - {}")
        assert await waiting == Outcome(request.id, SUCCESS, b"{}")

    dispatching(apart, use)
    client.close()


def test_no_request_meets_a_connection_from_before(
    apart: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may lead nowhere without anybody having been told, as when a machine has failed."""
    monkeypatch.setattr(connection, "QUIET_SECONDS", 0.5)
    monkeypatch.setattr(connection, "PONG_SECONDS", 0.5)
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.1)

    async def ask(dispatcher: Dispatcher) -> None:
        await asyncio.gather(*(dispatcher.callback_of(str(uuid4())) for _ in range(20)))

    async def run() -> None:
        network = Network(apart.redis_socket)
        async with network.running(), asyncio.timeout(30):
            url = f"redis://127.0.0.1:{network.port}/0"
            dispatcher = Dispatcher(parse_settings({"REDIS_URL": url}), batch_size=8)
            await dispatcher.start()
            await ask(dispatcher)
            network.cut()
            await until(lambda: not dispatcher.is_open)
            await until(lambda: dispatcher.is_open)
            async with asyncio.timeout(2):
                await ask(dispatcher)
            await dispatcher.stop()

    asyncio.run(run())


def test_who_waits_when_redis_is_lost_is_not_sent_to_ask_for_a_record(apart: Deployment) -> None:
    """There will be none."""
    client = redis.Redis.from_url(apart.environment["REDIS_URL"])

    async def use(dispatcher: Dispatcher) -> None:
        asking = asyncio.create_task(dispatcher.predict(b"1", NOBODY, 1))
        await taken(client)
        apart.services.pop("redis").kill()
        with pytest.raises(QueueUnavailable, match="was lost"):
            await asking

    dispatching(apart, use)
    client.close()


@pytest.mark.parametrize("kind", ["sync", "async", "keyed"])
def test_redis_that_hangs_is_told_in_time_with_the_truth(apart: Deployment, kind: str) -> None:
    """The request may have been queued; no path and no address is in the text."""

    async def use(dispatcher: Dispatcher) -> None:
        apart.services["redis"].signal(signal.SIGSTOP)
        request = Request(str(uuid4()), b"1")
        asking: dict[str, Callable[[], Awaitable[Any]]] = {
            "sync": lambda: dispatcher.predict(b"1", NOBODY, 0.5),
            "async": lambda: dispatcher.submit(request, 0.5),
            "keyed": lambda: dispatcher.submit_once(request, "key", b"body", 0.5),
        }
        try:
            async with asyncio.timeout(2):
                with pytest.raises(QueueUnavailable) as refused:
                    await asking[kind]()
        finally:
            apart.services["redis"].signal(signal.SIGCONT)
        assert "may have been queued" in str(refused.value)
        assert "Idempotency-Key" in str(refused.value)
        assert "/" not in str(refused.value)

    dispatching(apart, use)


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
