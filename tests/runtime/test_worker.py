"""The worker's processes: who loads the model, and what happens when one dies."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import LOAD_SECONDS, OBEDIENT
from .deployment import Deployment, deployed

NOTICED_SECONDS = 3.5
DEATHS = ["exit", "kill", "segfault"]


@pytest.fixture(scope="module")
def gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment that believes in two GPUs, called 5 and 7."""
    settings = {
        "GPU": "1",
        "CUDA_VISIBLE_DEVICES": "5,7",
        "WORKER_CONCURRENCY": "auto",
        "TEST_LOAD_SECONDS": str(LOAD_SECONDS),
    }
    with deployed(tmp_path_factory.mktemp("gpus"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        assert deployment.state("worker")[0] != "UP"
        deployment.wait_for_worker()
        yield deployment


def processes(deployment: Deployment, count: int = 2) -> dict[int, dict[str, Any]]:
    """Return what the worker's processes say of themselves, by id; waits for ``count``."""

    def ask() -> dict[int, dict[str, Any]]:
        # Each takes a while, so that none gets a second one while another is idle.
        ids = [deployment.accept({"do": "whoami", "seconds": 0.1}) for _ in range(2 * count)]
        answers = [deployment.final_status(each)["result"] for each in ids]
        found = {answer["pid"]: answer for answer in answers}
        return found if len(found) == count else {}

    return deployment.wait(ask, f"{count} worker processes answer", 30)


# On a CPU


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
    for number in range(8):
        started = time.monotonic()
        assert lab.predict({"do": "exit"}, Prefer="wait=20").status_code == 500
        assert time.monotonic() - started < NOTICED_SECONDS
        assert lab.predict({"value": number}).json() == {"echo": number}


# On GPUs


def test_each_gpu_gets_one_process_that_loads_the_model_for_itself(gpus: Deployment) -> None:
    found = processes(gpus)
    assert {each["cuda"] for each in found.values()} == {"5", "7"}
    for pid, each in found.items():
        assert each["loader"] == pid
        assert each["cuda at load"] == each["cuda"]
    # Not forked but started anew, as CUDA needs it: a fork has its parent's command line.
    parent = Path(f"/proc/{gpus.services['denzel'].pid}/cmdline").read_bytes()
    assert all(Path(f"/proc/{pid}/cmdline").read_bytes() != parent for pid in found)
    loads = gpus.trace("load")
    assert sorted(note["pid"] for note in loads) == sorted(found)
    assert sorted(note["cuda"] for note in loads) == ["5", "7"]


def test_a_gpus_process_sees_its_gpu_already_when_the_pipeline_is_imported(
    gpus: Deployment,
) -> None:
    """Where a framework may look at the devices and remember."""
    api = gpus.services["api"].pid
    in_worker = [note for note in gpus.trace("import") if "gunicorn" not in note["program"]]
    assert {note["cuda"] for note in in_worker} == {"5", "7"}
    parent = gpus.services["denzel"].pid
    assert {parent, api}.isdisjoint(note["pid"] for note in in_worker)


@pytest.mark.parametrize("death", ["exit", "kill"])
def test_a_gpus_process_that_dies_is_replaced_though_the_model_loads_for_longer_than_4_s(
    gpus: Deployment, death: str
) -> None:
    before = processes(gpus)
    loads = len(gpus.trace("load"))
    answer = gpus.predict({"do": death}, Prefer="wait=20")
    assert answer.status_code == 500
    assert "WorkerLostError" in answer.json()["description"]
    # The other process goes on at once.
    assert gpus.predict({"value": 1}, Prefer="wait=20").json() == {"echo": 1}
    gpus.wait(lambda: gpus.state("worker")[0] == "LOADING...", "the worker shows LOADING", 20)
    gpus.wait_for_worker()
    after = processes(gpus)
    assert {each["cuda"] for each in after.values()} == {"5", "7"}
    assert len(before.keys() & after.keys()) == 1
    assert len(gpus.trace("load")) == loads + 1


def test_without_any_gpu_the_worker_says_so(tmp_path: Path) -> None:
    settings = {"GPU": "1", "CUDA_VISIBLE_DEVICES": ""}
    with deployed(tmp_path, OBEDIENT, settings) as deployment:
        worker = deployment.start("denzel", sys.executable, "-m", "app.runtime.worker")
        deployment.wait(lambda: deployment.state("worker")[0] == "ERROR", "the worker says ERROR")
        assert "GPU" in deployment.state("worker")[1]
        worker.stop()
        assert deployment.trace("load") == []
