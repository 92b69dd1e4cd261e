"""Processes whose prediction was cancelled, or takes too long, are ended; others never."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from app.runtime.pipeline.time_limit import GRACE_SECONDS
from app.runtime.store.keys import stopping_key
from app.runtime.worker.batch import Batch, Batches, Told
from app.runtime.worker.stopping import Stopper

from ..deployment import Deployment
from ..queues import Api, take, worker

TIMEOUT = 5.0


class Running:
    """Stands for the batches that processes are at."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def running(self) -> list[Batch]:
        """Return them."""
        return self.batches


class Lab:
    """A worker that holds requests, with a clock that the test moves."""

    def __init__(self, client: redis.Redis, timeout: float = TIMEOUT) -> None:
        self.now = 1000.0
        self.queue = worker(client)
        self.held = Running()
        self.stopper = Stopper(
            self.queue, cast(Batches, self.held), timeout, lambda: self.now
        )  # fmt: skip
        self.processes: list[subprocess.Popen[bytes]] = []

    def begin(self, *task_ids: str) -> subprocess.Popen[bytes]:
        """Have a process be at requests."""
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        self.processes.append(process)

        class Request:
            def __init__(self, task_id: str) -> None:
                self.id = task_id

        batch = Batch(cast(Any, [Request(each) for each in task_ids]), Told.BATCH)
        batch.pid, batch.started = process.pid, self.now
        self.held.batches.append(batch)
        return process

    def is_killed(self, process: subprocess.Popen[bytes]) -> bool:
        """Tell whether a process was ended; one that was not may run on."""
        try:
            return process.wait(0.3) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            state = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").split()[2]
            assert state != "T", "it was left stopped"
            return False


@pytest.fixture
def lab(client: redis.Redis) -> Iterator[Lab]:
    lab = Lab(client)
    yield lab
    for process in lab.processes:
        process.kill()
        process.wait(10)


@pytest.fixture
def api(redis_server: Deployment, client: redis.Redis) -> Iterator[Api]:
    process = Api(redis_server.environment["REDIS_URL"])
    yield process
    process.close()


def test_the_process_of_a_cancelled_request_is_ended(api: Api, lab: Lab) -> None:
    cancelled, other = api.accept(2)
    take(lab.queue)
    mine, another = lab.begin(cancelled), lab.begin(other)
    api.cancel(cancelled, stop_running=True)
    lab.stopper.end_cancelled()
    assert lab.is_killed(mine)
    assert not lab.is_killed(another)


def test_a_request_that_has_ended_by_itself_ends_no_process(
    api: Api, client: redis.Redis, lab: Lab
) -> None:
    """The process is at the next one by then."""
    (cancelled,) = api.accept()
    take(lab.queue)
    process = lab.begin(cancelled)
    api.cancel(cancelled, stop_running=True)
    client.delete(stopping_key(cancelled))  # as finish does
    lab.stopper.end_cancelled()
    assert not lab.is_killed(process)


def test_one_that_ends_while_its_process_is_looked_for_ends_none(
    api: Api, client: redis.Redis, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cancelled,) = api.accept()
    take(lab.queue)
    process = lab.begin(cancelled)
    api.cancel(cancelled, stop_running=True)
    answers = iter([True, False])
    monkeypatch.setattr(lab.queue, "is_stopping", lambda task_id: next(answers))
    lab.stopper.end_cancelled()
    assert not lab.is_killed(process)


def test_one_that_has_not_been_begun_yet_is_ended_when_it_is(api: Api, lab: Lab) -> None:
    (cancelled,) = api.accept()
    take(lab.queue)
    api.cancel(cancelled, stop_running=True)
    lab.stopper.end_cancelled()
    process = lab.begin(cancelled)
    lab.stopper.end_cancelled()
    assert lab.is_killed(process)


def test_a_prediction_that_takes_too_long_is_ended_after_a_while_of_grace(lab: Lab) -> None:
    process = lab.begin("slow")
    lab.now += TIMEOUT + GRACE_SECONDS - 0.1
    lab.stopper.end_overdue()
    assert not lab.is_killed(process)
    lab.now += 0.2
    lab.stopper.end_overdue()
    assert lab.is_killed(process)
    assert lab.held.batches[0].is_overdue


def test_without_a_limit_none_is(client: redis.Redis) -> None:
    lab = Lab(client, timeout=0)
    process = lab.begin("slow")
    lab.now += 1e9
    lab.stopper.end_overdue()
    assert not lab.is_killed(process)
    process.kill()
    process.wait(10)


def test_a_process_that_is_gone_already_is_no_error(api: Api, lab: Lab) -> None:
    (cancelled,) = api.accept()
    take(lab.queue)
    process = lab.begin(cancelled)
    process.kill()
    process.wait(10)
    api.cancel(cancelled, stop_running=True)
    lab.stopper.end_cancelled()
    lab.now += 1e9
    lab.stopper.end_overdue()
