"""A worker renews its lease, recovers what dead ones held, and puts back what it lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis

from app.runtime.store.keys import PREDICTIONS_QUEUE, WORKERS_KEY
from app.runtime.worker import leases
from app.runtime.worker.batch import Batches
from app.runtime.worker.leases import SETTLING_SECONDS, STOPPING_SECONDS, UNKNOWN_SECONDS, Leases

from ..deployment import Deployment
from ..polling import wait_until
from ..queues import LEASE_SECONDS, LOST_CHANNEL, Api, lapse, states, take, worker

ME = "lab/host/me"


class Held:
    """Stands for the batches in the main process's memory."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def task_ids(self) -> set[str]:
        """Return what is held."""
        return self.ids

    def __len__(self) -> int:
        """Return how much is held."""
        return len(self.ids)


class Lab:
    """A worker's leases, with a clock that the test moves."""

    def __init__(self, client: redis.Redis, place: str = "") -> None:
        self.now = 1000.0
        self.held = Held()
        self.queue = worker(client, ME)
        self.leases = Leases(self.queue, cast(Batches, self.held), place, lambda: self.now)

    def beat_after(self, seconds: float) -> None:
        self.now += seconds
        self.leases.beat()


@pytest.fixture
def api(redis_server: Deployment, client: redis.Redis) -> Iterator[Api]:
    process = Api(redis_server.environment["REDIS_URL"])
    yield process
    process.close()


@pytest.fixture
def lab(client: redis.Redis) -> Lab:
    return Lab(client)


def dead(client: Any, api: Api, holder: str = "lab/host/dead") -> str:
    """Leave a request behind that a worker held whose lease has ended."""
    queue = worker(client, holder)
    (task_id,) = api.accept()
    assert take(queue, first_queue=PREDICTIONS_QUEUE)[0] == [task_id]
    lapse(client, holder)
    return task_id


def test_each_beat_renews_the_lease(client: Any, lab: Lab) -> None:
    client.delete(WORKERS_KEY)
    lab.leases.beat()
    left = client.zscore(WORKERS_KEY, ME) - client.time()[0]
    assert LEASE_SECONDS - 2 < left < LEASE_SECONDS + 2


def test_after_redis_was_away_others_have_time_to_renew_their_leases(
    client: redis.Redis, api: Api, lab: Lab
) -> None:
    lab.leases.connected()
    task_id = dead(client, api)
    lab.beat_after(SETTLING_SECONDS - 0.1)
    assert states(client, [task_id]) == ["STARTED"]
    lab.beat_after(0.2)
    assert states(client, [task_id]) == ["PENDING"]
    lab.leases.connected()
    client.delete(PREDICTIONS_QUEUE)
    task_id = dead(client, api)
    lab.beat_after(1)
    assert states(client, [task_id]) == ["STARTED"]


def test_what_a_predecessor_held_goes_back_at_once(client: redis.Redis, api: Api) -> None:
    queue = worker(client, "lab/host/before")
    (task_id,) = api.accept()
    take(queue)
    lab = Lab(client, place="lab/host/")
    lab.leases.beat()
    assert states(client, [task_id]) == ["PENDING"]


def test_only_those_before_the_first_beat_are_predecessors(client: redis.Redis, api: Api) -> None:
    lab = Lab(client, place="lab/host/")
    lab.leases.beat()
    after = worker(client, "lab/host/after")
    (task_id,) = api.accept()
    take(after)
    lab.beat_after(SETTLING_SECONDS + 1)
    assert states(client, [task_id]) == ["STARTED"]


@pytest.mark.parametrize("kind", ["accept", "enqueue"])
def test_what_it_holds_unknowingly_goes_back(
    client: redis.Redis, api: Api, lab: Lab, kind: str
) -> None:
    """As after an answer of Redis's that was lost."""
    (task_id,) = getattr(api, kind)()
    take(lab.queue)
    lab.leases.beat()
    lab.beat_after(UNKNOWN_SECONDS - 0.1)
    assert any(lab.queue.renew())
    lab.beat_after(0.2)
    assert not any(lab.queue.renew())
    if kind == "accept":
        assert states(client, [task_id]) == ["PENDING"]
        assert take(worker(client, "lab/host/other"))[0] == [task_id]
    else:
        assert api.hear(LOST_CHANNEL) == [task_id.encode()]


def test_what_it_knows_of_it_keeps(client: redis.Redis, api: Api, lab: Lab) -> None:
    (task_id,) = api.accept()
    take(lab.queue)
    lab.leases.beat()
    lab.beat_after(UNKNOWN_SECONDS - 0.1)
    lab.held.ids = {task_id}
    lab.beat_after(0.2)
    lab.held.ids = set()
    lab.beat_after(0.2)  # it was known in between: the time begins anew
    assert states(client, [task_id]) == ["STARTED"]


def test_a_worker_that_ends_with_nothing_gives_up_its_lease(client: Any, lab: Lab) -> None:
    lab.leases.end()
    assert client.zscore(WORKERS_KEY, ME) is None


def test_one_whose_processes_are_at_something_keeps_it_for_a_while(client: Any, lab: Lab) -> None:
    lab.held.ids = {"running"}
    lab.leases.end()
    left = client.zscore(WORKERS_KEY, ME) - client.time()[0]
    assert STOPPING_SECONDS - 2 < left < STOPPING_SECONDS + 2


def test_it_keeps_it_as_long_as_they_take(
    client: Any, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.01)
    lab.held.ids = {"running"}
    lab.leases.end()
    client.zadd(WORKERS_KEY, {ME: 0})
    wait_until(lambda: client.zscore(WORKERS_KEY, ME) > 0, 30, what="the lease is renewed")
    lab.held.ids = set()
    lab.leases.end()
    assert client.zscore(WORKERS_KEY, ME) is None
