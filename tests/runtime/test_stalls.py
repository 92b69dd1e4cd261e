"""A prediction that neither ends nor uses the processor is named, and holds up no stop."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .deployment import Deployment, deployed
from .template import PIPELINES

ORDINARY = (PIPELINES / "ordinary.py").read_text(encoding="utf-8")
LIMIT = 2


@pytest.fixture
def stalling(tmp_path: Path) -> Iterator[Deployment]:
    """Yield a deployment that names a stalled prediction after two seconds."""
    settings = {"WORKER_CONCURRENCY": "2", "STALL_SECONDS": str(LIMIT)}
    with deployed(tmp_path, ORDINARY, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        yield deployment


def record(deployment: Deployment) -> dict[str, Any]:
    """Return the worker's state file."""
    path = Path(deployment.environment["DENZEL_RUN_DIR"]) / "worker.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def stalled(deployment: Deployment) -> list[dict[str, Any]]:
    """Return the stalled predictions whose line of code is known."""
    return [each for each in record(deployment)["stalled"] if each["where"]]


def test_a_hung_prediction_is_named_with_its_line_and_its_stack(stalling: Deployment) -> None:
    task_id = stalling.accept({"do": "deadlock"})
    (stall,) = stalling.wait(lambda: stalled(stalling), "the stall is named", 20)
    assert stall["task_id"] == task_id
    lines = ORDINARY.splitlines()
    number = max(index for index, line in enumerate(lines, 1) if "lock.acquire()" in line)
    assert stall["where"] == f"app/logic/pipeline.py:{number} in deadlock"
    found = record(stalling)
    assert found["state"] == "UP"
    assert stall["where"] in found["detail"]
    log = (stalling.directory / "logs" / "worker.log").read_text(encoding="utf-8")
    assert f'pipeline.py", line {number} in deadlock' in log
    assert task_id in log
    # The other process goes on.
    assert stalling.predict({"do": "nothing"}).ok
    # It is over when the process is.
    os.kill(stall["pid"], signal.SIGSTOP)
    os.kill(stall["pid"], signal.SIGKILL)
    stalling.wait(lambda: stall["pid"] not in _pids(record(stalling)), "it is not named", 10)


def _pids(found: dict[str, Any]) -> list[int]:
    return [each["pid"] for each in found["stalled"]]


def test_a_prediction_that_goes_on_is_named_no_more(stalling: Deployment) -> None:
    task_id = stalling.accept({"do": "sleep", "seconds": LIMIT + 4})
    stalling.wait(lambda: stalled(stalling), "the stall is named", 20)
    assert stalling.final_status(task_id)["status"] == "SUCCESS"
    stalling.wait(lambda: record(stalling)["stalled"] == [], "nothing is named", 10)
    assert record(stalling)["detail"] == ""


@pytest.mark.parametrize("what", ["compute", "compute in a child"])
def test_a_prediction_that_computes_is_never_named(stalling: Deployment, what: str) -> None:
    task_id = stalling.accept({"do": what, "seconds": LIMIT + 3})

    def has_ended() -> bool:
        assert record(stalling)["stalled"] == []
        return stalling.status(task_id)["status"] == "SUCCESS"

    stalling.wait(has_ended, "the prediction is made", 60)


def test_a_hung_prediction_does_not_hold_up_a_stop(stalling: Deployment) -> None:
    stalling.accept({"do": "deadlock"})
    stalling.wait(lambda: stalled(stalling), "the stall is named", 20)
    worker = stalling.services["denzel"]
    worker.process.terminate()
    assert worker.process.wait(15) == 0, worker.output()
