"""The clock of a worker or of the API decides nothing: it may be an hour wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
    directory.mkdir()
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
    ahead = deployment.accept({"do": "sleep", "seconds": 2})
    deployment.wait_until_begun(ahead)
    started = time.monotonic()
    late = deployment.predict({"value": "late"}, Prefer="wait=1")
    assert late.status_code == 504
    assert 0.9 < time.monotonic() - started < 1.9
    patient = deployment.predict({"value": "patient"}, Prefer="wait=20")
    assert patient.json() == {"echo": "patient"}
    assert deployment.final_status(ahead)["result"] == {"slept": 2}
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


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
@pytest.mark.parametrize("whose", ["the dead one's", "the living one's"])
def test_a_lease_ends_in_its_time_and_not_before(tmp_path: Path, whose: str, shift: int) -> None:
    with deployed(tmp_path, OBEDIENT, {"RECOVERY_SECONDS": str(LEASE)}) as deployment:
        deployment.start_redis()
        deployment.start_api()
        if whose == "the dead one's":
            with wrong_clock(deployment, shift):
                start_worker(deployment, "first")
        else:
            start_worker(deployment, "first")
        task_id = deployment.accept({"do": "sleep", "seconds": 14})
        deployment.wait_until_begun(task_id)
        if whose == "the dead one's":
            start_worker(deployment, "second")
        else:
            with wrong_clock(deployment, shift):
                start_worker(deployment, "second")
        # The second one has had time to take it away from the first.
        started = deployment.status(task_id)["started"]
        busy = deployment.accept({"do": "sleep", "seconds": 9})
        assert deployment.final_status(busy, 30)["status"] == "SUCCESS"
        assert deployment.status(task_id).get("started", started) == started
        assert len(deployment.trace("sleep")) == 2
        deployment.services.pop("first").kill()
        deployment.wait(lambda: len(deployment.trace("sleep")) == 3, "it is recovered", 25)
        assert deployment.final_status(task_id, 30)["result"] == {"slept": 14}
