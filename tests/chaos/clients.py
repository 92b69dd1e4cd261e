"""Clients that ask for predictions until told to stop, and keep what was accepted."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

import requests

RETRY_SECONDS = 0.2
ANSWER_SECONDS = 20
MAX_SECONDS = 0.01
"""How long a prediction takes at most."""


@dataclass(frozen=True)
class Accepted:
    """A request that was answered 200; ``at`` is a time of ``time.monotonic``."""

    task_id: str
    number: int
    at: float


def expected(number: int) -> dict[str, Any]:
    """Return the right prediction for a number."""
    return {"number": number, "digest": hashlib.sha256(str(number).encode()).hexdigest()}


class Clients:
    """Threads that each send one asynchronous request after another.

    Each waits up to ``pause`` seconds between two.  A request that is answered 503, or not at
    all, is sent again; every other one with an Idempotency-Key.  Any other answer is kept in
    ``surprises``.
    """

    def __init__(
        self, url: str, callback_uri: str, *, threads: int, pause: float, rng: random.Random
    ) -> None:
        self.accepted: list[Accepted] = []
        self.surprises: list[str] = []
        self.retries = 0
        self._url = url
        self._callback_uri = callback_uri
        self._pause = pause
        self._numbers = itertools.count(1)
        self._key = f"chaos-{rng.getrandbits(64):x}"
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(rng.random()),))
            for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish the request it is at; what is still refused then is given up."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, rng: random.Random) -> None:
        with requests.Session() as session:
            while not self._stopped.wait(rng.uniform(0, self._pause)):
                with self._lock:
                    number = next(self._numbers)
                self._send(session, number)

    def _send(self, session: requests.Session, number: int) -> None:
        body = {"number": number, "max_seconds": MAX_SECONDS, "callback_uri": self._callback_uri}
        headers = {"Prefer": "respond-async"}
        if number % 2:
            headers["Idempotency-Key"] = f"{self._key}-{number}"
        while True:
            try:
                answer = session.post(
                    f"{self._url}/predict", json=body, headers=headers, timeout=ANSWER_SECONDS
                )
                if answer.status_code == 200:
                    task_id = answer.json()["data"]["task_id"]
                    self.accepted.append(Accepted(task_id, number, time.monotonic()))
                    return
                if answer.status_code != 503:
                    self.surprises.append(f"{answer.status_code} {answer.text}")
                    return
            except requests.RequestException:
                pass
            self.retries += 1
            if self._stopped.wait(RETRY_SECONDS):
                return
