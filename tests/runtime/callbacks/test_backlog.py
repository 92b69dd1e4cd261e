"""Slow receivers do not hold up others, and what waits for them costs nothing meanwhile."""

from __future__ import annotations

import time
from typing import Any

import redis

from app.runtime.callbacks.resolver import Resolver
from app.runtime.callbacks.slots import Slots
from app.runtime.callbacks.undelivered import Undelivered

from ..deployment import Deployment
from ..polling import wait_until
from .receivers import answering, receiving
from .services import (
    DUE,
    hanging,
    queue,
    score,
    serving,
    state,
    wait_until_delivered,
)

HANGING = 10
EACH = 200


def queue_for(client: redis.Redis, ports: list[int], each: int = EACH) -> None:
    """Queue callbacks for receivers, for all of them in turn."""
    for number in range(each):
        queue(client, [(f"{port}-{number}", f"http://127.0.0.1:{port}/") for port in ports])


def waiting(client: redis.Redis) -> int:
    """Return how many callbacks wait for a crowded receiver."""
    found: Any = client.zcount(DUE, "(1e300", "+inf")
    return int(found)


def scores(client: redis.Redis) -> list[tuple[bytes, float]]:
    """Return all callbacks, by when they are due."""
    found: Any = client.zrange(DUE, 0, -1, withscores=True)
    return [(task_id, due) for task_id, due in found]


def file_size(client: redis.Redis) -> int:
    """Return the size of Redis's append-only file."""
    found: Any = client.info("persistence")
    return int(found["aof_current_size"])


def test_a_healthy_receiver_is_served_beside_hanging_ones(
    alone: Deployment, client: redis.Redis
) -> None:
    with hanging(HANGING) as ports, receiving(answering("204 No Content")) as healthy:
        queue_for(client, ports)
        with serving(alone) as service:
            wait_until(lambda: waiting(client) > HANGING * EACH / 2, 30, what="they wait")
            started = time.monotonic()
            for number in range(5):
                task_id = f"healthy-{number}"
                queue(client, [(task_id, healthy.url())])
                wait_until(
                    lambda task_id=task_id: state(client, task_id) == "DELIVERED",  # type: ignore[misc]
                    20, what="the healthy receiver has its callback",
                )  # fmt: skip
            assert time.monotonic() - started < 20, "the hanging ones take 30 s each"
            service.die()


def test_what_waits_for_a_hanging_receiver_costs_no_writes(
    alone: Deployment, client: redis.Redis
) -> None:
    with hanging(1) as ports:
        queue_for(client, ports, 1000)
        with serving(alone, slots=Slots(100, 4)) as service:
            wait_until(lambda: waiting(client) == 996, 30, what="all others wait")
            before, size = scores(client), file_size(client)
            wait_until(
                lambda: scores(client)[0][1] > before[0][1] + 3, 20,
                what="claims were renewed several times",
            )  # fmt: skip
            assert file_size(client) - size < 4000, "nothing but four claims was written"
            assert scores(client)[4:] == before[4:]
            service.die()


def test_names_of_one_receiver_count_as_one(alone: Deployment, client: redis.Redis) -> None:
    with hanging(1) as (port,):
        names = ["localhost", "LOCALHOST", "127.0.0.1", "one.example", "two.example"]
        uris = [f"http://{name}:{port}/{path}" for name in names for path in "ab"]
        queue(client, ((str(number), uri) for number, uri in enumerate(uris)))
        resolver = Resolver(lambda host, _: ["127.0.0.1"])
        with serving(alone, slots=Slots(100, 3), resolver=resolver) as service:
            wait_until(lambda: waiting(client) == len(uris) - 3, 20, what="all but three wait")
            assert client.smembers("denzel:callbacks:crowded") == {f"127.0.0.1 {port}".encode()}
            service.die()


def test_the_next_one_goes_when_one_ends(alone: Deployment, client: redis.Redis) -> None:
    with receiving(answering("204 No Content")) as receiver:
        queue(client, ((str(number), receiver.url()) for number in range(300)))
        with serving(alone, slots=Slots(100, 2)):
            wait_until_delivered(client)
        ids = [visit.headers["webhook-id"] for visit in receiver.visits]
        assert sorted(ids, key=int) == [str(number) for number in range(300)]
    assert not client.keys("denzel:callbacks:waiting:*")
    assert not client.exists("denzel:callbacks:crowded")


def test_what_waited_when_the_service_died_is_delivered(
    alone: Deployment, client: redis.Redis
) -> None:
    with hanging(1) as (port,):
        queue(client, ((str(number), f"http://127.0.0.1:{port}/") for number in range(20)))
        with serving(alone, slots=Slots(100, 1)) as service:
            wait_until(lambda: waiting(client) == 19, 20, what="they wait")
            service.die()
    with receiving(answering("204 No Content"), port=port) as receiver:
        with serving(alone, slots=Slots(100, 1)):
            wait_until_delivered(client)
        assert {visit.headers["webhook-id"] for visit in receiver.visits} == set(
            map(str, range(20))
        )


def test_one_that_is_dropped_while_it_waits_is_not_sent(
    alone: Deployment, client: redis.Redis
) -> None:
    with hanging(1) as (port,):
        queue(client, ((str(number), f"http://127.0.0.1:{port}/") for number in range(9)))
        with serving(alone, slots=Slots(100, 1)) as service:
            wait_until(lambda: waiting(client) == 8, 20, what="they wait")
            service.die()
    waits = [str(number) for number in range(9) if score(client, str(number)) == float("inf")]
    undelivered = Undelivered(client, result_ttl=60)
    assert len(undelivered.describe_all()) == 9
    assert undelivered.drop(waits[:4]) == 4
    assert undelivered.retry(waits[4:]) == 4
    assert all(score(client, each) == float("inf") for each in waits[4:]), "they keep their place"
    with receiving(answering("204 No Content"), port=port) as receiver:
        with serving(alone, slots=Slots(100, 1)):
            wait_until_delivered(client)
        got = {visit.headers["webhook-id"] for visit in receiver.visits}
        assert got.isdisjoint(waits[:4]) and got.issuperset(waits[4:])


def test_memory_of_receivers_ends_with_what_is_under_way(
    alone: Deployment, client: redis.Redis
) -> None:
    with receiving(answering("204 No Content")) as receiver:
        queue(client, ((f"a{number}", receiver.url()) for number in range(50)))
        with serving(alone, slots=Slots(100, 2)) as service:
            wait_until_delivered(client)
            assert service.sender.slots.held(f"127.0.0.1 {receiver.port}") == 0
            assert not service.sender.slots._held
