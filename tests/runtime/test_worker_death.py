"""A worker that is killed costs synchronous clients what it held, and a moment."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

CLIENTS = 12
PREDICTION_SECONDS = 0.05
PROMPT_SECONDS = 15.0
"""For a start of the worker and a beat of a lease, on a busy machine; it was 600 once."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Deployment]:
    settings = {"RECOVERY_SECONDS": "5", "WORKER_CONCURRENCY": "2"}
    with deployed(tmp_path, OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        deployment.wait(lambda: deployment.predict({"value": 1}).ok, "predictions are answered")
        yield deployment


@dataclass
class Load:
    """Clients that ask one request after the other, and what they were answered."""

    deployment: Deployment
    answers: list[tuple[int, float, float]] = field(default_factory=list)
    wrong: list[Any] = field(default_factory=list)
    _enough: threading.Event = field(default_factory=threading.Event)

    def ask(self, number: int) -> None:
        """Ask until it is enough; each value is asked for once."""
        count = 0
        while not self._enough.is_set():
            count += 1
            mark = f"{number}-{count}"
            began = time.monotonic()
            answer = self.deployment.predict(
                {"do": "whoami", "seconds": PREDICTION_SECONDS, "mark": mark}, Prefer="wait=60"
            )
            self.answers.append((answer.status_code, began, time.monotonic()))
            if answer.status_code != 200:
                self.wrong.append(answer.text)

    def stop(self) -> None:
        """Let each client finish what it has asked."""
        self._enough.set()

    def answered_after(self, moment: float) -> int:
        """Return how many were answered after a moment."""
        return sum(ended > moment for _, _, ended in list(self.answers))


def held(deployment: Deployment) -> int:
    """Return how many synchronous requests workers hold."""
    client: Any
    with redis.Redis.from_url(deployment.environment["REDIS_URL"]) as client:
        return sum(client.scard(key) for key in client.keys("denzel:held.sync:*"))


@pytest.mark.parametrize("successor", ["restarted", "another"])
def test_clients_of_a_killed_worker_are_answered_promptly(
    running: Deployment, successor: str
) -> None:
    """Those it did not hold as soon as another worker is there, those it held a little later."""
    if successor == "another":  # on another machine, as it were: it has another name
        own_name = running.environment["PROJECT_NAME"]
        running.environment["PROJECT_NAME"] = "other"
        first = running.services.pop("denzel")
        running.start_worker()
        running.services["other"] = running.services.pop("denzel")
        running.services["denzel"] = first
        running.environment["PROJECT_NAME"] = own_name
    load = Load(running)
    with ThreadPoolExecutor(CLIENTS) as clients:
        asking = [clients.submit(load.ask, number) for number in range(CLIENTS)]
        running.wait(lambda: len(load.answers) > 2 * CLIENTS, "there is load", 20)
        running.wait(lambda: held(running) >= 2, "the worker holds some", 20)
        running.services.pop("denzel").kill()
        killed = time.monotonic()
        if successor == "restarted":
            running.start_worker(wait=False)
        running.wait(
            lambda: load.answered_after(killed) > CLIENTS, "others are answered", PROMPT_SECONDS
        )
        running.wait(
            lambda: all(
                began > killed or ended for _, began, ended in list(load.answers)
            ) and load.answered_after(killed + PROMPT_SECONDS) > CLIENTS,
            "it goes on", 2 * PROMPT_SECONDS,
        )  # fmt: skip
        load.stop()
        for each in asking:
            each.result()
    assert load.wrong == []
    assert max(ended - began for _, began, ended in load.answers) < PROMPT_SECONDS + 5
    running.wait(lambda: held(running) == 0, "nothing is held any more", 10)


def test_a_worker_that_hangs_for_longer_than_its_lease_does_no_harm(running: Deployment) -> None:
    """Its requests are another's by then; what it still tells of them does not count."""
    first = running.services["denzel"]
    with ThreadPoolExecutor(4) as clients:
        asked = [
            clients.submit(
                running.predict, {"do": "sleep", "seconds": 3, "mark": number}, Prefer="wait=50"
            )
            for number in range(2)
        ]
        wait_for_sleeps(running, 2)
        accepted = running.accept({"value": 1})
        first.signal(signal.SIGSTOP)
        try:
            name = running.environment["PROJECT_NAME"]
            running.environment["PROJECT_NAME"] = "other"
            running.start_worker()
            running.environment["PROJECT_NAME"] = name
            running.services["first"] = first
            assert {each.result().status_code for each in asked} == {200}
            assert running.final_status(accepted)["result"] == {"echo": 1}
        finally:
            first.signal(signal.SIGCONT)
        answers = [
            clients.submit(running.predict, {"value": number}, Prefer="wait=30")
            for number in range(200)
        ]
        assert [each.result().json() for each in answers] == [{"echo": n} for n in range(200)]
    running.wait(lambda: held(running) == 0, "nothing is held any more", 20)
    assert running.status(accepted)["result"] == {"echo": 1}
    assert first.is_running()


def wait_for_sleeps(deployment: Deployment, count: int) -> None:
    deployment.wait(lambda: len(deployment.trace("sleep")) == count, "it runs", 30)


def test_a_request_that_kills_every_worker_is_given_up_and_the_others_are_answered(
    running: Deployment,
) -> None:
    """Its client is told with 503 when it has been lost twice."""
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(running.predict, {"do": "sleep", "seconds": 50}, Prefer="wait=50")
        for count in (1, 2):
            wait_for_sleeps(running, count)
            running.services.pop("denzel").kill()
            running.start_worker()
        assert answer.result().status_code == 503
        assert answer.result().json()["title"] == "Worker lost"
        assert int(answer.result().headers["Retry-After"]) > 0
    assert running.predict({"value": 1}, Prefer="wait=20").json() == {"echo": 1}
    assert len(running.trace("sleep")) == 2
