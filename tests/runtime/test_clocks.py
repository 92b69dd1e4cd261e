"""The clock of a worker or of the API decides nothing: it may be an hour wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

HOUR = 3600
SHIFT = """
import time

_real = time.time
time.time = lambda: _real() + ({shift})
"""
LEASE = 5


@contextmanager
def wrong_clock(deployment: Deployment, shift: int) -> Iterator[None]:
    """Have what is started meanwhile believe that it is so many seconds later."""
    directory = deployment.directory / f"clock{shift}"
    directory.mkdir(exist_ok=True)
    (directory / "sitecustomize.py").write_text(SHIFT.format(shift=shift), encoding="utf-8")
    deployment.environment["PYTHONPATH"] = str(directory)
    try:
        yield
    finally:
        del deployment.environment["PYTHONPATH"]


def start_worker(deployment: Deployment, name: str) -> None:
    """Start a worker under a name of its own, as on another machine."""
    own_name = deployment.environment["PROJECT_NAME"]
    deployment.environment["PROJECT_NAME"] = name
    deployment.start_worker()
    deployment.environment["PROJECT_NAME"] = own_name
    deployment.services[name] = deployment.services.pop("denzel")


def assert_serves(deployment: Deployment) -> None:
    """Check that requests are answered, queued ones in time, and dropped only when late."""
    for number in range(5):
        answer = deployment.predict({"value": number}, Prefer="wait=10")
        assert answer.json() == {"echo": number}
    with ThreadPoolExecutor(1) as clients:
        with deployment.occupied():
            patient = clients.submit(deployment.predict, {"value": "patient"}, Prefer="wait=40")
            started = time.monotonic()
            late = deployment.predict({"value": "late"}, Prefer="wait=1")
            assert late.status_code == 504
            assert time.monotonic() - started > 0.9
        assert patient.result().json() == {"echo": "patient"}
    assert deployment.final_status(late.json()["task_id"])["status"] == "REVOKED"


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
@pytest.mark.parametrize("whose", ["api", "worker"])
def test_requests_are_served_whatever_the_clock_says(
    tmp_path: Path, whose: str, shift: int
) -> None:
    with deployed(tmp_path, OBEDIENT) as deployment:
        deployment.start_redis()
        with wrong_clock(deployment, shift):
            if whose == "api":
                deployment.start_api()
            else:
                deployment.start_worker()
        if whose == "api":
            deployment.start_worker()
        else:
            deployment.start_api()
        deployment.wait(lambda: deployment.predict({"value": 1}).ok, "predictions are answered")
        assert_serves(deployment)


@pytest.mark.parametrize("whose", ["the dead ones'", "the living ones'"])
def test_a_lease_ends_in_its_time_and_not_before(tmp_path: Path, whose: str) -> None:
    """Of two workers that hold a request, and two that could take it from them."""
    go_on = tmp_path / "go-on"
    shifts = {"dead": [-HOUR, HOUR], "living": [0, 0]}
    if whose == "the living ones'":
        shifts = {"dead": [0, 0], "living": [-HOUR, HOUR]}
    with deployed(tmp_path, OBEDIENT, {"RECOVERY_SECONDS": str(LEASE)}) as deployment:
        deployment.start_redis()
        deployment.start_api()
        held = []
        for number, shift in enumerate(shifts["dead"]):
            with wrong_clock(deployment, shift):
                start_worker(deployment, f"dead{number}")
            held.append(deployment.accept({"do": "wait for", "path": str(go_on)}))
            deployment.wait_until_begun(held[-1])
        for number, shift in enumerate(shifts["living"]):
            with wrong_clock(deployment, shift):
                start_worker(deployment, f"living{number}")
        # While one of the living ones is at this, both have time to take what the others hold.
        busy = deployment.accept({"do": "sleep", "seconds": LEASE + 4})
        assert deployment.final_status(busy, 30)["status"] == "SUCCESS"
        assert len(deployment.trace("wait")) == 2
        for name in ("dead0", "dead1"):
            deployment.services.pop(name).kill()
        deployment.wait(lambda: len(deployment.trace("wait")) == 4, "they are recovered", 60)
        go_on.touch()
        for task_id in held:
            assert deployment.final_status(task_id, 30)["result"] == {"waited": True}
