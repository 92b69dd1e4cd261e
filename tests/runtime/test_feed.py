"""The worker's own reader of synchronous tasks, on a real Redis; no Celery yet."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.exceptions
from app.runtime.store.wire import Wire
from app.runtime.worker.feed import PATIENCE_SECONDS, FedMessage, Feed
from celery import Celery

from app.runtime.contract import INVOKE_PREDICT, Request
from app.runtime.requests import synchronous
from app.runtime.store.codecs import decode_requests
from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE
from app.runtime.store.messages import encode_prediction_message

from .deployment import Deployment, deployed

SOON = 10.0


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "project", None) as deployment:
        deployment.start_redis()
        yield deployment


@pytest.fixture
def client(deployment: Deployment) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(deployment.redis_socket)) as client:
        yield client


class Worker:
    """Takes tasks as a worker with so many free processes would."""

    def __init__(self, deployment: Deployment, free: int) -> None:
        self.taken: list[bytes] = []
        self.free = free
        wire = Wire(deployment.environment["REDIS_URL"], PATIENCE_SECONDS)
        self.feed = Feed(wire, self._take, lambda: self.free > 0)

    def _take(self, queue: bytes, message: bytes) -> None:
        self.taken.append(message)
        self.free -= 1

    def run(self, seconds: float = 0.05) -> None:
        """Serve the connection until nothing has come for so long."""
        while select.select([self.feed], [], [], seconds)[0]:
            self.feed.on_readable()

    def run_until_taken(self, count: int) -> None:
        deadline = time.monotonic() + SOON
        while len(self.taken) < count and time.monotonic() < deadline:
            self.run()
        assert len(self.taken) >= count


@pytest.fixture
def worker(deployment: Deployment) -> Iterator[Worker]:
    worker = Worker(deployment, free=1)
    yield worker
    worker.feed.close()


def push(client: Any, *messages: bytes) -> None:  # redis-py has no types for it
    for message in messages:
        client.execute_command(*synchronous.push(message))


def test_a_call_fetches_the_task(worker: Worker, client: redis.Redis) -> None:
    worker.run()
    push(client, b"task")
    worker.run_until_taken(1)
    assert worker.taken == [b"task"]


def test_what_was_there_before_the_worker_is_fetched(
    deployment: Deployment, client: redis.Redis
) -> None:
    push(client, b"task")
    worker = Worker(deployment, free=1)
    worker.feed.look()
    worker.run_until_taken(1)
    worker.feed.close()


def test_no_more_is_taken_than_processes_are_free(worker: Worker, client: redis.Redis) -> None:
    push(client, b"1", b"2", b"3")
    worker.run_until_taken(1)
    worker.run()
    assert worker.taken == [b"1"]
    assert client.lrange(SYNC_QUEUE, 0, -1) == [b"3", b"2"]
    worker.free = 2
    worker.feed.fetch()
    worker.run_until_taken(3)
    assert worker.taken == [b"1", b"2", b"3"]


def test_synchronous_and_asynchronous_tasks_take_turns(worker: Worker, client: Any) -> None:
    push(client, *(b"sync %d" % number for number in range(4)))
    client.lpush(PREDICTIONS_QUEUE, *(b"async %d" % number for number in range(2)))
    worker.free = 6
    worker.feed.look()
    assert worker.taken == [
        b"sync 0", b"async 0", b"sync 1", b"async 1", b"sync 2", b"sync 3",
    ]  # fmt: skip


def test_two_workers_share_the_tasks(
    worker: Worker, deployment: Deployment, client: redis.Redis
) -> None:
    other = Worker(deployment, free=5)
    worker.free = 5
    push(client, *(b"%d" % number for number in range(8)))
    deadline = time.monotonic() + SOON
    while len(worker.taken) + len(other.taken) < 8 and time.monotonic() < deadline:
        worker.run(0.01)
        other.run(0.01)
    assert sorted(worker.taken + other.taken) == [b"%d" % number for number in range(8)]
    other.feed.close()


def test_a_task_that_celery_drops_makes_room_for_the_next(
    deployment: Deployment, client: redis.Redis
) -> None:
    """It says at once that the task has ended, while the feed is still giving it out."""
    push(client, *(b"%d" % number for number in range(2000)))
    dropped: list[bytes] = []

    def drop(queue: bytes, message: bytes) -> None:
        dropped.append(message)
        feed.fetch()

    wire = Wire(deployment.environment["REDIS_URL"], PATIENCE_SECONDS)
    feed = Feed(wire, drop, lambda: True)
    feed.look()
    assert len(dropped) == 2000
    feed.close()


def test_a_call_that_comes_with_the_answer_to_another_is_heard(
    worker: Worker, client: redis.Redis
) -> None:
    """Also when the worker asks again and again: each time something may come in between."""
    worker.free = 500
    for number in range(500):
        push(client, b"%d" % number)
        worker.feed.look()
        if number % 2:
            worker.run(0)
    worker.run_until_taken(500)


def test_the_end_of_the_connection_is_told(worker: Worker, deployment: Deployment) -> None:
    worker.run()
    deployment.services.pop("redis").kill()
    with pytest.raises(redis.exceptions.ConnectionError):
        worker.run(SOON)


def test_redis_that_does_not_answer_is_given_up(deployment: Deployment) -> None:
    """Whoever watches the connection is told; an answer that comes late is not taken."""
    taken: list[bytes] = []
    wire = Wire(deployment.environment["REDIS_URL"], 0.2)
    feed = Feed(wire, lambda queue, message: taken.append(message), lambda: True)
    redis_server = deployment.services["redis"]
    redis_server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(OSError):
            feed.look()
    finally:
        redis_server.signal(signal.SIGCONT)
    assert select.select([feed], [], [], SOON)[0]
    with pytest.raises((OSError, redis.exceptions.ConnectionError)):
        feed.on_readable()
        feed.on_readable()
    assert taken == []
    feed.close()


def test_an_error_is_no_task(worker: Worker, client: redis.Redis) -> None:
    client.set(SYNC_QUEUE, "not a list")
    worker.feed.look()
    worker.run()
    assert worker.taken == []
    client.delete(SYNC_QUEUE)
    push(client, b"task")
    worker.run_until_taken(1)


def ignore(task_id: str) -> None:
    """Do nothing about a task that has ended."""


def test_celery_is_given_the_message_decoded() -> None:
    request = Request("4d7ec8ce-6b3a-4d69-a2f2-7c6f6b0c0000", '{"text":"é"}'.encode())
    ends: list[str] = []
    encoded = encode_prediction_message([request], "api-1", sent=1.0, expires=2.0)
    message = FedMessage(encoded, ends.append)
    assert message.headers["task"] == INVOKE_PREDICT
    assert message.headers["id"] == request.id
    requests, reply_to = message.payload["args"]
    assert decode_requests(requests) == [request]
    assert reply_to == "api-1"
    assert message.has_expired
    message.ack()
    assert ends == [request.id]


def test_a_task_that_somebody_waits_for_has_not_expired() -> None:
    request = Request("4d7ec8ce-6b3a-4d69-a2f2-7c6f6b0c0000", b"{}")
    now = time.time()
    encoded = encode_prediction_message([request], "api-1", sent=now, expires=now + SOON)
    assert not FedMessage(encoded, ignore).has_expired


def test_a_task_from_a_stock_client_is_understood(deployment: Deployment, client: Any) -> None:
    celery = Celery(broker=deployment.environment["REDIS_URL"].replace("unix", "redis+socket", 1))
    sent = celery.send_task(INVOKE_PREDICT, ([], "api-1"), queue=PREDICTIONS_QUEUE)
    celery.close()
    message = FedMessage(client.rpop(PREDICTIONS_QUEUE), ignore)
    assert message.headers["id"] == sent.id
    assert message.payload["args"] == [[], "api-1"]
    assert not message.has_expired
