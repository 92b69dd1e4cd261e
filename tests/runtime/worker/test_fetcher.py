"""Requests are taken off real queues when a process is free."""

from __future__ import annotations

import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.exceptions

from app.runtime.requests.worker_queue import Demand, Taken, WorkerQueue
from app.runtime.store.client import connect
from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE
from app.runtime.store.messages import decode_message
from app.runtime.worker.fetcher import Fetcher, Notifications

from ..deployment import Deployment, deployed
from ..queues import LEASE_SECONDS, SOON, Api, worker


class Worker:
    """Fetches as a worker with so many free processes would."""

    def __init__(self, queue: WorkerQueue, free: int = 1, size: int = 1, wait: float = 0) -> None:
        self.free, self.size, self.wait = free, size, wait
        self.batches: list[Taken] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.fetcher = Fetcher(queue, self._demand, self._deliver, self._call_later)

    def _demand(self) -> Demand | None:
        return Demand(self.size, self.wait, 0.0, self.free) if self.free else None

    def _deliver(self, taken: Taken) -> None:
        self.batches.append(taken)
        self.free -= 1

    def _call_later(self, seconds: float, function: Callable[[], None]) -> None:
        self.timers.append((seconds, function))

    @property
    def ids(self) -> list[list[str]]:
        """The ids of each batch."""
        return [
            [decode_message(message).id for message, _, _ in batch.requests]
            for batch in self.batches
        ]


@pytest.fixture
def api(redis_server: Deployment, client: redis.Redis) -> Iterator[Api]:
    process = Api(redis_server.environment["REDIS_URL"])
    yield process
    process.close()


@pytest.fixture
def fetching(client: redis.Redis) -> Worker:
    return Worker(worker(client))


def test_no_more_is_taken_than_processes_are_free(
    api: Api, client: redis.Redis, fetching: Worker
) -> None:
    first, second, third, fourth = api.enqueue(4)
    fetching.fetcher.look()
    assert fetching.ids == [[first]]
    assert client.llen(SYNC_QUEUE) == 3
    fetching.free = 2
    fetching.fetcher.fetch()
    assert fetching.ids == [[first], [second], [third]]
    assert fourth


def test_synchronous_and_asynchronous_batches_take_turns(api: Api, fetching: Worker) -> None:
    sync, asynchronous = api.enqueue(4), api.accept(2)
    fetching.free = 6
    fetching.fetcher.look()
    assert [ids for (ids,) in fetching.ids] == [
        sync[0], asynchronous[0], sync[1], asynchronous[1], sync[2], sync[3],
    ]  # fmt: skip


def test_two_workers_share_the_requests(api: Api, client: redis.Redis) -> None:
    workers = [Worker(worker(client, f"lab/host/{name}"), free=2) for name in ("a", "b")]
    ids = api.accept(4)
    for each in workers:
        each.fetcher.look()
    assert [*workers[0].ids, *workers[1].ids] == [[each] for each in ids]


def test_redis_is_not_asked_for_what_is_not_there(api: Api, client: Any, fetching: Worker) -> None:
    fetching.free = 5
    fetching.fetcher.look()
    client.config_resetstat()
    for _ in range(100):
        fetching.fetcher.fetch()
    assert "cmdstat_evalsha" not in client.info("commandstats")
    api.enqueue()
    fetching.fetcher.look()
    assert len(fetching.batches) == 1


def test_redis_is_not_asked_again_when_all_was_taken(
    api: Api, client: Any, fetching: Worker
) -> None:
    api.enqueue(1)
    api.accept(1)
    fetching.fetcher.look()
    fetching.free = 2
    fetching.fetcher.fetch()
    assert len(fetching.batches) == 2
    client.config_resetstat()
    fetching.fetcher.fetch()
    assert "cmdstat_evalsha" not in client.info("commandstats")


def test_what_ends_at_once_makes_room_for_the_next(api: Api, client: redis.Redis) -> None:
    """It says so while the fetcher is still giving it out."""
    api.accept(2000)
    delivered: list[Taken] = []

    def deliver(taken: Taken) -> None:
        delivered.append(taken)
        fetcher.fetch()

    fetcher = Fetcher(
        worker(client), lambda: Demand(1, 0.0, 0.0, 1), deliver, lambda *_: None
    )  # fmt: skip
    fetcher.look()
    assert len(delivered) == 2000


def test_foreign_messages_are_named_in_the_log_and_what_is_behind_them_is_taken(
    api: Api, client: redis.Redis, fetching: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    for queue in (SYNC_QUEUE, PREDICTIONS_QUEUE):
        client.lpush(queue, *[f"foreign-{number}" for number in range(1500)])
    sync, asynchronous = api.enqueue(1), api.accept(1)
    fetching.free = 2
    fetching.fetcher.look()
    assert sorted(fetching.ids) == sorted([sync, asynchronous])
    assert caplog.text.count("Skipped what is no prediction") == 3000
    assert "foreign-1499" in caplog.text


def test_a_queue_of_which_all_is_dropped_does_not_hold_up_the_other(
    api: Api, fetching: Worker
) -> None:
    gone, asynchronous = *api.enqueue(1), *api.accept(1)
    api.do(api.acceptance.abandon(gone, 5))
    fetching.fetcher.look()
    assert fetching.ids == [[asynchronous]]


def test_a_fuller_batch_is_waited_for(api: Api, client: redis.Redis) -> None:
    patient = Worker(worker(client), size=3, wait=30)
    ids = api.enqueue(2)
    patient.fetcher.look()
    patient.fetcher.look()
    assert patient.batches == []
    ((seconds, waited),) = patient.timers  # one timer, however often it looks
    assert 20 < seconds <= 30
    ids += api.enqueue(1)
    patient.fetcher.look()
    assert patient.ids == [ids]
    patient.free = 1
    waited()
    assert len(patient.batches) == 1
    api.enqueue(1)
    patient.fetcher.look()
    assert len(patient.timers) == 2


def test_what_is_closed_takes_nothing(api: Api, client: redis.Redis, fetching: Worker) -> None:
    api.enqueue()
    fetching.fetcher.close()
    fetching.fetcher.look()
    assert fetching.batches == []
    assert client.llen(SYNC_QUEUE) == 1


def test_an_error_of_redis_is_no_batch(api: Api, client: redis.Redis, fetching: Worker) -> None:
    client.set(SYNC_QUEUE, "not a list")
    fetching.fetcher.look()
    assert fetching.batches == []
    client.delete(SYNC_QUEUE)
    api.enqueue()
    fetching.fetcher.look()
    assert len(fetching.batches) == 1


# Notifications


def is_readable(notifications: Notifications, seconds: float = SOON) -> bool:
    """Tell whether something comes within so many seconds."""
    return bool(select.select([notifications.fileno()], [], [], seconds)[0])


def test_a_notification_is_heard_once(api: Api, redis_server: Deployment) -> None:
    notifications = Notifications(connect(redis_server.redis))
    notifications.drain()
    api.enqueue()
    assert is_readable(notifications)
    notifications.drain()
    assert not is_readable(notifications, 0.05)
    api.accept()
    assert is_readable(notifications)
    notifications.close()


def test_a_lost_connection_is_told_and_can_be_forgotten(tmp_path: Path) -> None:
    """Whether Redis is back by then or not."""
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        for comes_back in (True, False):
            notifications = Notifications(connect(deployment.redis))
            watched = notifications.fileno()
            deployment.services.pop("redis").kill()
            if comes_back:
                deployment.start_redis()
            assert is_readable(notifications)
            with pytest.raises((redis.exceptions.ConnectionError, OSError)):
                for _ in range(10):
                    notifications.drain()
            assert notifications.fileno() == watched
            notifications.close()


def test_redis_that_does_not_answer_is_given_up_and_a_late_answer_is_not_taken(
    tmp_path: Path,
) -> None:
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        client = connect(deployment.redis, answer_seconds=0.2)
        fetching = Worker(WorkerQueue(client, "lab/host/1", LEASE_SECONDS))
        api = Api(deployment.environment["REDIS_URL"])
        fetching.fetcher.look()
        (task_id,) = api.accept()
        deployment.services["redis"].signal(signal.SIGSTOP)
        with pytest.raises(redis.exceptions.RedisError):
            fetching.fetcher.look()
        deployment.services["redis"].signal(signal.SIGCONT)
        assert fetching.batches == []
        # Redis may have given it out: then the lease finds it (worker/leases.py).
        deployment.wait(
            lambda: api.find(task_id)[0] is not None, "Redis answers again", SOON
        )  # fmt: skip
        fetching.fetcher.look()
        held = fetching.ids or [list(WorkerQueue(client, "lab/host/1", LEASE_SECONDS).renew()[0])]
        assert held == [[task_id]]
        api.close()
        client.close()
