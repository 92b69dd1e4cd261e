"""Under hours of load no process grows."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from statistics import median

import pytest
import requests

from .clients import ANSWER_SECONDS, expected
from .figures import figures
from .memory import MIB, private_bytes
from .probes import await_predictions
from .receiver import Receiver
from .stage import Stage

SECONDS_VARIABLE = "DENZEL_SOAK_SECONDS"
LONG_SECONDS, SHORT_SECONDS = 900.0, 12.0
LONG_GROWTH, SHORT_GROWTH = 0.05, 0.25
"""A few seconds are too short to tell growth from warming up; minutes are not."""
SAMPLES = 120
WARM_UP = 0.4
"""The part of the time after which memory must stay as it is."""
WINDOW = 0.2
THREADS, PAUSE = 8, 0.15
SOAK_SETTINGS = {"RESULT_TTL": "60"}
"""Results that are kept for a day would make Redis grow for a day."""


class Load:
    """Mixed load: synchronous, asynchronous with callback, refused, and questions."""

    def __init__(self, stage: Stage, receiver: Receiver, rng: random.Random) -> None:
        self.answers: defaultdict[str, int] = defaultdict(int)
        self.wrong: list[str] = []
        self._url = stage.url
        self._callback = f"http://127.0.0.1:{receiver.port}/soak"
        self._numbers = itertools.count(1)
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(rng.random()),))
            for _ in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop sending."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, rng: random.Random) -> None:
        ask = (self._ask_sync, self._ask_sync, self._ask_async, self._ask_wrongly)
        with requests.Session() as session:
            while not self._stopped.wait(rng.uniform(0, PAUSE)):
                with suppress(requests.ConnectionError):  # an idle connection was closed
                    rng.choice(ask)(session, next(self._numbers))

    def _ask_sync(self, session: requests.Session, number: int) -> None:
        answer = self._post(session, {"number": number}, "wait=10")
        self._check(answer.status_code == 200 and answer.json() == expected(number), answer)
        self.answers["synchronous"] += 1

    def _ask_async(self, session: requests.Session, number: int) -> None:
        body = {"number": number, "callback_uri": self._callback}
        answer = self._post(session, body, "respond-async")
        self._check(answer.status_code == 200, answer)
        task_id = answer.json()["data"]["task_id"]
        status = session.get(f"{self._url}/status/{task_id}?wait=10", timeout=ANSWER_SECONDS)
        self._check(status.json()["status"] == "SUCCESS", status)
        self.answers["asynchronous"] += 1

    def _ask_wrongly(self, session: requests.Session, number: int) -> None:
        answer = session.post(
            f"{self._url}/predict", data=b"{" * (number % 1000), timeout=ANSWER_SECONDS
        )
        self._check(answer.status_code == 400, answer)
        self.answers["refused"] += 1

    def _post(
        self, session: requests.Session, body: dict[str, object], preference: str
    ) -> requests.Response:
        return session.post(
            f"{self._url}/predict", json=body, headers={"Prefer": preference},
            timeout=ANSWER_SECONDS,
        )  # fmt: skip

    def _check(self, right: bool, answer: requests.Response) -> None:
        if not right:
            self.wrong.append(f"{answer.status_code} {answer.text[:500]}")


@pytest.fixture
def soaked(stage: Stage, is_long: bool) -> Iterator[Stage]:
    """Yield the deployment; in the long form with results that are forgotten after a minute."""
    if is_long:
        stage.project.set_environment(**SOAK_SETTINGS)
        stage.denzel("restart")
        stage.wait_until_ready()
    yield stage


def growth(samples: list[int]) -> float:
    """Return by which part memory grew between the end of warming up and the end."""
    kept = samples[int(WARM_UP * len(samples)) :]
    window = max(1, int(WINDOW * len(samples)))
    return median(kept[-window:]) / median(kept[:window]) - 1


@pytest.mark.timeout(3600)
def test_no_process_grows(soaked: Stage, rng: random.Random, is_long: bool) -> None:
    seconds = LONG_SECONDS if is_long else SHORT_SECONDS
    seconds = float(os.environ.get(SECONDS_VARIABLE) or seconds)
    receiver = Receiver(random.Random(rng.random()))
    await_predictions(soaked.url, 30)
    processes = soaked.processes()
    samples: dict[int, list[int]] = {pid: [] for pid in processes}
    load = Load(soaked, receiver, rng)
    try:
        started = time.monotonic()
        waiting = threading.Event()
        for position in range(SAMPLES):
            waiting.wait(max(0.0, started + position * seconds / SAMPLES - time.monotonic()))
            for pid in processes:
                samples[pid].append(private_bytes(pid))
    finally:
        load.stop()
        receiver.close()
    grown = {pid: growth(samples[pid]) for pid in processes}
    figures(
        f"soak, {seconds:.0f} s",
        answers=load.answers,
        wrong=len(load.wrong),
        **{
            f"{role} ({pid})": f"{median(samples[pid]) / MIB:.1f} MiB, grown by {grown[pid]:+.1%}"
            for pid, role in processes.items()
        },
    )
    assert load.wrong == []
    assert soaked.processes() == processes
    limit = LONG_GROWTH if is_long else SHORT_GROWTH
    assert {processes[pid]: part for pid, part in grown.items() if part > limit} == {}
