"""Who sends a callback when its deliverer is slow, dies, stops, or loses sight of Redis."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest
import redis
from standardwebhooks.webhooks import Webhook

from app.runtime.callbacks.schedule import Answer
from app.runtime.callbacks.signing import new_secret, parse_secrets
from app.runtime.callbacks.slots import Slots

from ..deployment import Deployment
from ..polling import wait_until
from .receivers import Visit, answering, receiving
from .services import (
    CLAIM_SECONDS,
    DUE,
    connected,
    describe,
    queue,
    score,
    serving,
    state,
)


def answer_late(visit: Visit) -> None:
    """Answer when the receiver is about to end."""
    visit.read()
    visit.closing.wait(30)
    visit.answer("204 No Content")


def test_what_a_dead_service_was_sending_is_sent_again(
    alone: Deployment, client: redis.Redis
) -> None:
    with receiving(answering("204 No Content")) as receiver:
        queue(client, [("a", receiver.url())])

        async def take_and_die() -> list[str]:
            async with connected(alone) as deliveries:
                return [callback.task_id for callback in await deliveries.take(9)]

        assert asyncio.run(take_and_die()) == ["a"]
        with serving(alone):
            wait_until(lambda: state(client, "a") == "DELIVERED", 20, what="it is delivered")
        assert [visit.headers["webhook-id"] for visit in receiver.visits] == ["a"]


def test_a_service_that_dies_under_way_is_replaced_with_the_same_id(
    alone: Deployment, client: redis.Redis
) -> None:
    with receiving(answer_late, answering("204 No Content")) as receiver:
        queue(client, [("a", receiver.url())])
        with serving(alone) as service:
            wait_until(lambda: receiver.visits, 10, what="it is sent")
            service.die()
        assert (score(client, "a") or 0) > time.time(), "nobody gave it back"
        with serving(alone):
            wait_until(lambda: state(client, "a") == "DELIVERED", 20, what="it is delivered")
        assert {visit.headers["webhook-id"] for visit in receiver.visits} == {"a"}


def test_a_slow_receiver_is_asked_once(alone: Deployment, client: redis.Redis) -> None:
    """Also when there are several services, and for longer than a claim lasts."""
    receiver_context = receiving(answer_late)
    with serving(alone), serving(alone):
        with receiver_context as receiver:
            queue(client, [("a", receiver.url())])
            wait_until(lambda: receiver.visits, 10, what="it is sent")
            first = score(client, "a") or 0
            wait_until(
                lambda: (score(client, "a") or 0) > first + 1.5 * CLAIM_SECONDS, 10,
                what="its claim is renewed",
            )  # fmt: skip
            assert len(receiver.visits) == 1
        wait_until(lambda: state(client, "a") == "DELIVERED", 20, what="it is delivered")
        assert client.zcard(DUE) == 0


def test_a_claim_lost_while_redis_was_away_is_not_sent_twice(
    alone: Deployment, client: redis.Redis
) -> None:
    with serving(alone):
        with receiving(answer_late) as receiver:
            queue(client, [("a", receiver.url())])
            wait_until(lambda: receiver.visits, 10, what="it is sent")
            client.zadd(DUE, {"a": 0})
            wait_until(lambda: score(client, "a"), 10, what="it is claimed again")
            assert len(receiver.visits) == 1
        wait_until(lambda: state(client, "a") == "DELIVERED", 20, what="it is delivered")


def test_an_outcome_is_kept_until_redis_takes_it(
    alone: Deployment, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Or a receiver would get everything twice that it took while Redis was away."""
    with serving(alone):
        with receiving(answer_late) as receiver:
            queue(client, [("a", receiver.url())])
            wait_until(lambda: receiver.visits, 10, what="it is sent")
            client.config_set("min-replicas-to-write", 1)  # every script is refused from now on
        try:
            wait_until(
                lambda: "a cannot be recorded yet" in caplog.text,
                10,
                what="it was tried to be stored",
            )
            assert state(client, "a") == "PENDING"
        finally:
            client.config_set("min-replicas-to-write", 0)
        wait_until(lambda: state(client, "a") == "DELIVERED", 20, what="it is recorded")
        assert len(receiver.visits) == 1


def test_a_renewal_brings_nothing_back(alone: Deployment, client: redis.Redis) -> None:
    queue(client, [("a", "http://receiver.example/")])

    async def deliver_and_renew() -> None:
        async with connected(alone) as deliveries:
            (callback,) = await deliveries.take(9)
            await deliveries.record(callback, Answer(204), None)
            await deliveries.renew(["a", "b"])

    asyncio.run(deliver_and_renew())
    assert client.zcard(DUE) == 0


def test_an_attempt_that_outlived_its_claim_does_not_undo_a_delivery(
    alone: Deployment, client: redis.Redis
) -> None:
    queue(client, [("a", "http://receiver.example/")])

    async def deliver_and_fail() -> None:
        async with connected(alone) as deliveries:
            (callback,) = await deliveries.take(9)
            await deliveries.record(callback, Answer(204), None)
            await deliveries.record(callback, Answer(error="it took too long"), 5)
            await deliveries.record(callback, Answer(error="it took too long"), None)

    asyncio.run(deliver_and_fail())
    assert state(client, "a") == "DELIVERED"
    assert client.zcard(DUE) == client.zcard("denzel:callbacks:failed") == 0


def test_what_is_under_way_ends_before_the_service_stops(
    alone: Deployment, client: redis.Redis
) -> None:
    def answer_soon(visit: Visit) -> None:
        visit.read()
        visit.closing.wait(1)
        visit.answer("204 No Content")

    with receiving(answer_soon) as receiver:
        queue(client, [("a", receiver.url())])
        with serving(alone):
            wait_until(lambda: receiver.visits, 10, what="it is sent")
        assert state(client, "a") == "DELIVERED"


def test_nothing_more_is_begun_when_the_service_stops(
    alone: Deployment, client: redis.Redis
) -> None:
    with receiving(answer_late) as receiver:
        queue(client, ((str(number), receiver.url()) for number in range(20)))
        with serving(alone, slots=Slots(100, 2)) as service:
            wait_until(lambda: len(receiver.visits) == 2, 10, what="two are sent")
            stopping = threading.Thread(target=service.stop)
            stopping.start()
            wait_until(lambda: service.service._backlog._is_stopped, 10, what="it is stopping")
            receiver.closing.set()
            stopping.join(30)
    tried = [number for number in range(20) if describe(client, str(number))["attempts"]]
    assert len(tried) == 2
    assert client.zcard(DUE) == 18


def test_what_does_not_end_is_given_back(
    alone: Deployment, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.runtime.callbacks.service.GRACE_SECONDS", 0.2)
    with receiving(answer_late) as receiver:
        queue(client, [("a", receiver.url())])
        with serving(alone):
            wait_until(lambda: receiver.visits, 10, what="it is sent")
        now = client.time()[0]
        assert (score(client, "a") or 0) <= now + 1, "another service takes it at once"
        assert describe(client, "a")["attempts"] == 0


def test_a_large_prediction_is_sent_in_pieces_whole_and_signed(
    alone: Deployment, client: redis.Redis
) -> None:
    secret = new_secret()
    result = b'{"x":"' + random.Random(1).randbytes(3 * 2**20).hex().encode() + b'"}'
    with receiving(answering("204 No Content")) as receiver:
        queue(client, [("a", receiver.url())], result)
        with serving(alone, secrets=parse_secrets(secret)):
            wait_until(lambda: state(client, "a") == "DELIVERED", 30, what="it is delivered")
    (visit,) = receiver.visits
    assert visit.body == result
    assert Webhook(secret).verify(visit.body, visit.headers)


def test_what_is_due_is_due_by_redis_clock(alone: Deployment, client: redis.Redis) -> None:
    queue(client, [("a", "http://127.0.0.1:1/")])
    with serving(alone):
        wait_until(lambda: describe(client, "a")["attempts"] == 1, 10, what="it was tried")
    seconds, _ = client.time()
    callback = describe(client, "a")
    assert seconds - 10 < callback["last_at"] <= seconds + 1
    assert callback["last_at"] < callback["next_at"] < callback["last_at"] + 10
    assert abs(float(client.hget("denzel:callback:a", "since") or 0) - seconds) < 30


def test_a_new_callback_does_not_wait_behind_a_backlog(
    alone: Deployment, client: redis.Redis
) -> None:
    queue(client, ((f"old-{number:03}", "http://receiver.example/") for number in range(500)))
    queue(client, [("new", "http://receiver.example/")])

    async def take() -> list[str]:
        async with connected(alone) as deliveries:
            return [callback.task_id for callback in await deliveries.take(10)]

    taken = asyncio.run(take())
    assert taken[0] == "new"
    assert sum(int(task_id[4:]) < 5 for task_id in taken[5:]) == 5, "the oldest come as well"
