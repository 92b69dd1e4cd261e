"""The worker's processes: who loads the model, and what happens when one dies."""

from __future__ import annotations

import os
import signal
import statistics
import time
from typing import Any

import pytest

from .deployment import Deployment

NOTICED_SECONDS = 3.5
DEATHS = ["exit", "kill", "segfault"]


def processes(deployment: Deployment, count: int = 2) -> dict[int, dict[str, Any]]:
    """Return what the worker's processes say of themselves, by id; waits for ``count``."""

    def ask() -> dict[int, dict[str, Any]]:
        # Each takes a while, so that none gets a second one while another is idle.
        ids = [deployment.accept({"do": "whoami", "seconds": 0.1}) for _ in range(2 * count)]
        answers = [deployment.final_status(each)["result"] for each in ids]
        found = {answer["pid"]: answer for answer in answers}
        return found if len(found) == count else {}

    return deployment.wait(ask, f"{count} worker processes answer", 30)


def test_the_model_is_loaded_once_and_shared_by_the_processes(lab: Deployment) -> None:
    parent = lab.services["denzel"].pid
    shared = processes(lab)
    assert {each["loader"] for each in shared.values()} == {parent}
    assert parent not in shared
    assert [note["pid"] for note in lab.trace("load")] == [parent]


@pytest.mark.parametrize("death", DEATHS)
def test_a_request_that_ends_its_process_fails_and_the_next_is_answered(
    lab: Deployment, death: str
) -> None:
    answer = lab.predict({"do": death}, Prefer="wait=20")
    assert answer.status_code == 500
    assert answer.json()["title"] == "Prediction failed"
    assert "WorkerLostError" in answer.json()["description"]
    status = lab.status(answer.headers["Denzel-Task-Id"])
    assert (status["status"], status["result"]["type"]) == ("FAILURE", "WorkerLostError")
    for number in range(6):
        assert lab.predict({"value": number}).json() == {"echo": number}


def test_an_async_request_that_ends_its_process_fails(lab: Deployment) -> None:
    status = lab.final_status(lab.accept({"do": "exit"}))
    assert status["status"] == "FAILURE"


def test_an_idle_process_that_is_killed_is_replaced_without_a_load(lab: Deployment) -> None:
    loads = len(lab.trace("load"))
    victim = next(iter(processes(lab)))
    os.kill(victim, signal.SIGKILL)
    assert victim not in processes(lab)
    assert lab.state("worker") == ("UP", "")
    assert len(lab.trace("load")) == loads


def test_deaths_one_after_the_other_are_survived_and_noticed_soon(lab: Deployment) -> None:
    """Celery by itself looks every 5 s, which is when a sync request gives up."""
    seconds = []
    for number in range(8):
        started = time.monotonic()
        assert lab.predict({"do": "exit"}, Prefer="wait=20").status_code == 500
        seconds.append(time.monotonic() - started)
        assert lab.predict({"value": number}).json() == {"echo": number}
    assert statistics.median(seconds) < NOTICED_SECONDS
