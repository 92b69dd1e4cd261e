"""verify_input beside everything else the API does."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

SLOW = {"verify": "slow", "seconds": 0.2, "value": 1}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment of one API process, whose verify_input has shown itself slow."""
    with deployed(tmp_path_factory.mktemp("api"), OBEDIENT) as deployment:
        deployment.start_redis()
        deployment.start_worker()
        deployment.start_api()
        for _ in range(4):
            assert deployment.predict(SLOW, Prefer="wait=20").status_code == 200
        yield deployment


def test_a_slow_verify_input_does_not_hold_up_info(api: Deployment) -> None:
    slow = {**SLOW, "seconds": 1.0}
    with ThreadPoolExecutor(2) as clients:
        answers = [clients.submit(api.accept, slow) for _ in range(2)]
        longest, asked = 0.0, 0
        while not any(answer.done() for answer in answers):
            started = time.monotonic()
            assert requests.get(f"{api.url}/info", timeout=10).ok
            longest, asked = max(longest, time.monotonic() - started), asked + 1
        assert asked > 5
        assert longest < 0.9  # less than a call of verify_input
        assert all(answer.result() for answer in answers)


def test_quick_clients_are_quick_beside_slow_ones(api: Deployment) -> None:
    """Five requests a second was all the service gave where one call waited for another."""
    over = threading.Event()

    def ask_slowly() -> None:
        while not over.is_set():
            assert api.predict(SLOW, Prefer="wait=20").status_code == 200

    with ThreadPoolExecutor(4) as clients, requests.Session() as session:
        slow = [clients.submit(ask_slowly) for _ in range(4)]
        seconds = []
        for number in range(100):
            started = time.monotonic()
            answer = session.post(f"{api.url}/predict", json={"value": number}, timeout=20)
            seconds.append(time.monotonic() - started)
            assert answer.json() == {"echo": number}
        over.set()
        for each in slow:
            each.result()
    assert statistics.median(seconds) < 0.1  # less than half a slow call, on any machine


def test_an_exception_that_is_no_refusal_shows_its_type_and_stands_in_the_log(
    api: Deployment,
) -> None:
    answer = api.predict({"verify": "KeyError"})
    assert answer.status_code == 400
    assert answer.json()["description"] == "KeyError: 'missing'"
    output = api.services["api"].output()
    assert 'data["missing"]' in output
    assert "KeyError: 'missing'" in output


def test_an_async_verify_input_is_awaited(tmp_path_factory: pytest.TempPathFactory) -> None:
    pipeline = OBEDIENT.replace("def verify_input", "async def verify_input")
    with deployed(tmp_path_factory.mktemp("async"), pipeline) as deployment:
        deployment.start_redis()
        deployment.start_worker()
        deployment.start_api()
        assert deployment.predict({"value": 1}, Prefer="wait=20").json() == {"echo": 1}
        refused = deployment.predict({"verify": "ValueError"})
        assert refused.json()["description"] == "no data to predict for!"
