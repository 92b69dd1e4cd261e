"""Synchronous and asynchronous requests share the worker; neither holds up the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

SLOW: dict[str, Any] = {"do": "sleep", "seconds": 0.1}
CLIENTS = 12


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    settings = {"WORKER_CONCURRENCY": "2"}
    with deployed(tmp_path_factory.mktemp("busy"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_api()
        deployment.start_worker()
        yield deployment


def test_an_async_request_gets_on_under_synchronous_load(busy: Deployment) -> None:
    """They keep the worker busy for as long as it takes."""
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            assert busy.predict(SLOW, Prefer="wait=30").status_code == 200

    with ThreadPoolExecutor(CLIENTS) as pool:
        load = [pool.submit(ask) for _ in range(CLIENTS)]
        try:
            before = len(busy.trace("sleep"))
            busy.wait(lambda: len(busy.trace("sleep")) > before + CLIENTS, "there is load")
            assert busy.final_status(busy.accept({"value": 1}), 10)["result"] == {"echo": 1}
        finally:
            enough.set()
        for client in load:
            client.result()


def test_a_sync_request_gets_on_under_asynchronous_load(busy: Deployment) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        accepted = list(pool.map(busy.accept, [SLOW] * 200))
    for _ in range(3):
        assert busy.predict({"value": 1}, Prefer="wait=3").status_code == 200
    assert busy.status(accepted[-1])["status"] == "PENDING"  # there was a queue all the time
    assert busy.final_status(accepted[-1], 60)["status"] == "SUCCESS"


def test_nothing_waits_behind_a_long_prediction_while_a_worker_is_free(
    busy: Deployment, tmp_path: Path
) -> None:
    """Whichever of two processes is at the long one."""
    with ThreadPoolExecutor(1) as pool:
        for number in range(3):
            go_on, begun = tmp_path / str(number), len(busy.trace("wait"))
            body = {"do": "wait for", "path": str(go_on)}
            long = pool.submit(busy.predict, body, Prefer="wait=60")
            try:
                busy.wait(lambda begun=begun: len(busy.trace("wait")) > begun, "it has begun")  # type: ignore[misc]
                assert busy.final_status(busy.accept({"value": 1}))["status"] == "SUCCESS"
            finally:
                go_on.touch()
            assert long.result().status_code == 200
