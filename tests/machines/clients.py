"""Clients that send asynchronous requests to whatever API answers, and keep what was accepted."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import requests

ANSWER_SECONDS = 10


class Clients:
    """Threads that each send one request after another, to the addresses in turn.

    What is refused or not answered is sent again, as a load balancer's client would.
    """

    def __init__(self, addresses: list[str], body: Any, *, threads: int, pause: float) -> None:
        self.accepted: list[str] = []
        self.retries = 0
        self._addresses = addresses
        self._body = body
        self._pause = pause
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish the request it is at."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        order = itertools.cycle(self._addresses[number % len(self._addresses) :] + self._addresses)
        while not self._stopped.wait(self._pause):
            try:
                answer = requests.post(
                    f"http://{next(order)}:8000/predict", json=self._body,
                    headers={"Prefer": "respond-async"}, timeout=ANSWER_SECONDS,
                )  # fmt: skip
            except requests.RequestException:
                self.retries += 1
                continue
            if answer.status_code == 200:
                self.accepted.append(answer.json()["data"]["task_id"])
            else:
                assert answer.status_code == 503, answer.text
                self.retries += 1


def submit(address: str, body: Any) -> str:
    """Send one asynchronous request; return its id."""
    answer = requests.post(
        f"http://{address}:8000/predict", json=body, headers={"Prefer": "respond-async"},
        timeout=ANSWER_SECONDS,
    )  # fmt: skip
    assert answer.ok, answer.text
    return str(answer.json()["data"]["task_id"])


def unfinished(address: str, task_ids: list[str]) -> list[str]:
    """Return the requests not known to have ended; one that failed or is unknown fails the test."""
    left = []
    with requests.Session() as session:
        for task_id in task_ids:
            url = f"http://{address}:8000/status/{task_id}"
            try:
                answer = session.get(url, timeout=ANSWER_SECONDS)
            except requests.RequestException:  # of a machine that is short of processors
                left.append(task_id)
                continue
            assert answer.status_code == 200, answer.text
            state = answer.json()["status"]
            assert state in ("PENDING", "SUCCESS"), answer.text
            if state == "PENDING":
                left.append(task_id)
    return left


def seconds_until_all_ended(address: str, task_ids: list[str], *, since: float) -> float:
    """Return how long after ``since``, a time of ``time.monotonic``, the last request ended."""
    left = unfinished(address, task_ids)
    tick = threading.Event()
    while left and time.monotonic() < since + 120:
        tick.wait(0.1)
        left = unfinished(address, left)
    assert not left, f"{len(left)} of {len(task_ids)} accepted requests have not ended"
    return time.monotonic() - since
