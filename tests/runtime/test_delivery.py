"""Who sends a callback when its deliverer is slow, dies, or loses sight of Redis."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis
from app.runtime.requests.ledger import FINISH

from app.runtime.callbacks.delivery import Callback, Deliveries
from app.runtime.callbacks.retries import Answer, RetrySchedule
from app.runtime.callbacks.service import CallbackService

from .deployment import Deployment, deployed, wait_until

CLAIM_SECONDS = 3.0


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment of which Redis alone is started."""
    with deployed(tmp_path_factory.mktemp("alone"), None) as deployment:
        deployment.start_redis()
        yield deployment


@pytest.fixture
def client(alone: Deployment) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(alone.environment["REDIS_URL"])
    client.flushall()
    yield client
    client.close()


def deliveries(client: redis.Redis) -> Deliveries:
    return Deliveries(client, claim_seconds=CLAIM_SECONDS, result_ttl=60)


def finish(client: redis.Redis, task_id: str) -> None:
    """End a request that named a callback."""
    client.set(f"denzel:task:{task_id}", "STARTED null")
    client.eval(FINISH, 0, "60", "0", task_id, 'SUCCESS {"a":1}', "http://receiver.example/")


class Receiver:
    """Stands for the network: counts attempts, and holds each until it is let go."""

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self.let_go = threading.Event()

    def post(self, callback: Callback) -> Answer:
        self.attempts.append(callback.task_id)
        self.let_go.wait(30)
        return Answer(status=204)


class Service:
    """A callbacks service in a thread."""

    def __init__(self, client: redis.Redis, receiver: Receiver) -> None:
        service = CallbackService(deliveries(client), receiver.post, RetrySchedule())
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=service.run, args=(self._stopped,))
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(10)


def state(client: redis.Redis, task_id: str) -> object:
    return deliveries(client).describe(task_id).get("state")


def claimed_until(client: redis.Redis, task_id: str) -> float:
    return client.zscore("denzel:callbacks:due", task_id) or 0.0


def test_what_a_dead_service_was_sending_is_sent_again(client: redis.Redis) -> None:
    receiver = Receiver()
    receiver.let_go.set()
    finish(client, "a")
    assert [each.task_id for each in deliveries(client).take(9)] == ["a"]  # and then it dies
    service = Service(client, receiver)
    try:
        wait_until(lambda: state(client, "a") == "DELIVERED", 20, what="it is delivered")
        assert receiver.attempts == ["a"]
    finally:
        service.stop()


def test_a_slow_receiver_is_asked_once(client: redis.Redis) -> None:
    """Also when there are several services, and for longer than a claim lasts."""
    receiver = Receiver()
    services = [Service(client, receiver) for _ in range(2)]
    try:
        finish(client, "a")
        wait_until(lambda: receiver.attempts, 10, what="it is sent")
        first = claimed_until(client, "a")
        wait_until(
            lambda: claimed_until(client, "a") > first + 1.5 * CLAIM_SECONDS,
            10,
            what="it is renewed",
        )
        assert receiver.attempts == ["a"]
        receiver.let_go.set()
        wait_until(lambda: state(client, "a") == "DELIVERED", 20, what="it is delivered")
        assert client.zcard("denzel:callbacks:due") == 0
    finally:
        receiver.let_go.set()
        for service in services:
            service.stop()


def test_a_claim_lost_while_redis_was_away_is_not_sent_twice(client: redis.Redis) -> None:
    receiver = Receiver()
    service = Service(client, receiver)
    try:
        finish(client, "a")
        wait_until(lambda: receiver.attempts, 10, what="it is sent")
        client.zadd("denzel:callbacks:due", {"a": 0})
        wait_until(lambda: claimed_until(client, "a"), 10, what="it is claimed again")
        receiver.let_go.set()
        wait_until(lambda: state(client, "a") == "DELIVERED", 20, what="it is delivered")
        assert receiver.attempts == ["a"]
    finally:
        receiver.let_go.set()
        service.stop()


def test_a_renewal_brings_nothing_back(client: redis.Redis) -> None:
    finish(client, "a")
    mine = deliveries(client)
    (callback,) = mine.take(9)
    mine.delivered(callback, 204)
    mine.renew(["a", "b"])
    assert client.zcard("denzel:callbacks:due") == 0
