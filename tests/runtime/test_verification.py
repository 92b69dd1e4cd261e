"""verify_input beside everything else the API does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment of one API process and Redis; nobody predicts."""
    with deployed(tmp_path_factory.mktemp("api"), OBEDIENT) as deployment:
        deployment.start_redis()
        deployment.start_api()
        yield deployment


def test_a_slow_verify_input_does_not_hold_up_info(api: Deployment) -> None:
    """Not even the first time."""
    slow = {"verify": "slow", "seconds": 1.0, "value": 1}
    with ThreadPoolExecutor(2) as clients:
        answers = [clients.submit(api.accept, slow) for _ in range(2)]
        longest, asked = 0.0, 0
        while not any(answer.done() for answer in answers):
            started = time.monotonic()
            assert requests.get(f"{api.url}/info", timeout=10).ok
            longest, asked = max(longest, time.monotonic() - started), asked + 1
        assert asked > 5
        assert longest < 0.5
        assert all(answer.result() for answer in answers)


def test_a_quick_verify_input_is_called_one_at_a_time_and_in_order(api: Deployment) -> None:
    with requests.Session() as session:
        for number in range(60):
            answer = session.post(
                f"{api.url}/predict", json={"verify": "ValueError", "n": number}, timeout=10
            )
            assert answer.status_code == 400
