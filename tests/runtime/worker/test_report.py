"""What the worker says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.runtime.pipeline.plan import Plan
from app.runtime.state import ERROR, LOADING, UP
from app.runtime.worker.report import Report, Stall, forget_processes, write_process_state

SHARED = Plan(2, 1, shared=True)
COPIES = Plan(2, 1, shared=False, reason="torch started 1 thread")
STALL = Stall(7, "a1b2", 30, "app/logic/pipeline.py:9 in predict")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the run directory."""
    monkeypatch.setenv("DENZEL_RUN_DIR", str(tmp_path))
    return tmp_path


def record(directory: Path) -> dict[str, Any]:
    """Return what the worker says."""
    return dict(json.loads((directory / "worker.json").read_text(encoding="utf-8")))


def test_a_shared_model_is_nothing_to_speak_of(directory: Path) -> None:
    Report(str(directory), SHARED, "worker@lab").update({1, 2}, 2, [])
    found = record(directory)
    assert (found["state"], found["detail"]) == (UP, "")
    assert found["model"]["processes"] == 2
    assert found["model"]["shared"] is True


def test_copies_are_explained(directory: Path) -> None:
    write_process_state(0, 1, UP)
    write_process_state(1, 2, UP)
    Report(str(directory), COPIES, "worker@lab").update({1, 2}, 2, [])
    assert record(directory)["detail"] == COPIES.summary


def test_the_worker_is_loading_until_each_living_process_is_up(directory: Path) -> None:
    report = Report(str(directory), COPIES, "worker@lab")
    write_process_state(0, 1, UP)
    report.update({1, 2}, 2, [])
    assert record(directory)["state"] == LOADING
    write_process_state(1, 2, UP)
    report.update({1, 2}, 2, [])
    assert record(directory)["state"] == UP
    report.update({1, 3}, 2, [])  # 2 has died, 3 has not begun to load yet
    assert record(directory)["state"] == LOADING


def test_one_that_failed_is_an_error(directory: Path) -> None:
    write_process_state(0, 1, UP)
    write_process_state(1, 2, ERROR, "GPU 1: load_model raised OSError")
    report = Report(str(directory), COPIES, "worker@lab")
    report.update({1, 2}, 2, [])
    found = record(directory)
    assert (found["state"], found["detail"]) == (ERROR, "GPU 1: load_model raised OSError")
    forget_processes(str(directory))
    report.update({1, 2}, 2, [])
    assert record(directory)["state"] == LOADING


def test_one_process_with_its_model_is_enough_to_tell_that_there_is_one(directory: Path) -> None:
    told: list[tuple[str, str]] = []
    report = Report(str(directory), COPIES, "worker@lab", lambda *state: told.append(state))
    report.update({1, 2}, 2, [])
    write_process_state(0, 1, ERROR, "GPU 0: load_model raised OSError")
    report.update({1, 2}, 2, [])
    write_process_state(1, 2, UP)
    report.update({1, 2}, 2, [])
    assert told == [(LOADING, ""), (ERROR, "GPU 0: load_model raised OSError"), (UP, "")]
    assert record(directory)["state"] == ERROR


def test_a_stall_is_told_and_then_no_more(directory: Path) -> None:
    report = Report(str(directory), SHARED, "worker@lab")
    report.update({7}, 1, [STALL])
    found = record(directory)
    assert found["state"] == UP
    assert found["detail"].startswith("process 7 has waited for 30 s at app/logic/pipeline.py:9")
    assert found["stalled"][0]["task_id"] == "a1b2"
    report.update({7}, 1, [])
    assert (record(directory)["detail"], record(directory)["stalled"]) == ("", [])
