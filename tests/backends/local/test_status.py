"""What is shown of a local service, from what supervisor and the service say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from denzel.backends.local.status import Record, read_record, service_status, worker_status
from denzel.backends.local.supervision import Crashes, Process
from denzel.services import ServiceStatus, State, WorkerStatus

STARTED = 1000
LOOP = Crashes(3, "exit status 3")


def process(state: str, problem: str = "") -> Process:
    return Process("api", state, STARTED, problem)


def says(state: State, *, after: float = 1.0) -> Record:
    return Record(state, "because", STARTED + after)


@pytest.mark.parametrize(
    ("known", "record", "crashes", "shown"),
    [
        (None, says(State.UP), Crashes(), State.DOWN),
        (process("STOPPED"), says(State.UP), Crashes(), State.DOWN),
        (process("STOPPING"), says(State.UP), Crashes(), State.DOWN),
        (process("STARTING"), None, Crashes(), State.STARTING),
        (process("STARTING"), says(State.PIP_INSTALLING), Crashes(), State.PIP_INSTALLING),
        (process("STARTING"), says(State.UP), Crashes(), State.UP),
        (process("RUNNING"), says(State.UP), Crashes(), State.UP),
        (process("RUNNING"), says(State.ERROR), Crashes(), State.ERROR),
        # What was written before the process started is its predecessor's.
        (process("RUNNING"), says(State.UP, after=-1), Crashes(), State.STARTING),
        (process("STARTING"), says(State.ERROR, after=-1), Crashes(), State.STARTING),
        # One failed start can be bad luck; a loop is an error, between the starts as well.
        (process("BACKOFF"), says(State.UP), Crashes(1, "exit status 3"), State.STARTING),
        (process("BACKOFF"), says(State.STARTING), LOOP, State.ERROR),
        (process("STARTING"), says(State.STARTING), LOOP, State.ERROR),
        (process("STARTING"), None, LOOP, State.ERROR),
        (process("STARTING"), says(State.UP), LOOP, State.UP),
        (process("EXITED"), says(State.UP), Crashes(), State.STARTING),
        (process("BACKOFF", "can't find command"), None, Crashes(), State.ERROR),
        (process("FATAL"), says(State.UP), LOOP, State.ERROR),
    ],
)
def test_service(
    known: Process | None, record: Record | None, crashes: Crashes, shown: State
) -> None:
    assert service_status("api", known, record, crashes, 8000).state is shown


def test_an_error_says_where_to_look() -> None:
    detail = service_status("api", process("BACKOFF"), None, LOOP).detail
    assert "crashed 3 times" in detail
    assert "exit status 3" in detail
    assert "logs/api.log" in detail
    assert "denzel restart" in service_status("api", process("FATAL"), None, LOOP).detail


@pytest.mark.parametrize(
    ("service", "record", "shown"),
    [
        (State.DOWN, says(State.UP), ()),
        (State.PIP_INSTALLING, None, ()),
        (State.UP, None, (WorkerStatus("worker@x", State.LOADING),)),
        (State.UP, says(State.UP, after=-1), (WorkerStatus("worker@x", State.LOADING),)),
        (State.UP, says(State.UP), (WorkerStatus("worker@x", State.UP, "because"),)),
        (State.UP, says(State.ERROR), (WorkerStatus("worker@x", State.ERROR, "because"),)),
    ],
)
def test_worker(service: State, record: Record | None, shown: tuple[WorkerStatus, ...]) -> None:
    line = ServiceStatus("denzel", service)
    assert worker_status("worker@x", line, process("RUNNING"), record) == shown


def test_a_record_is_read_with_its_time(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    file.write_text(json.dumps({"state": "LOADING...", "detail": "soon"}))
    os.utime(file, (1234.5, 1234.5))
    assert read_record(file) == Record(State.LOADING, "soon", 1234.5)


def test_how_the_worker_holds_its_model_is_read(tmp_path: Path) -> None:
    file = tmp_path / "worker.json"
    model = {"processes": 1, "shared": False}
    file.write_text(json.dumps({"state": "UP", "detail": "why", "model": model, "stalled": []}))
    line = ServiceStatus("denzel", State.UP)
    (worker,) = worker_status("worker@x", line, process("RUNNING"), read_record(file))
    assert worker == WorkerStatus("worker@x", State.UP, "why", model, [])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"state": "FINE"}', "null"])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "api.json").write_text(text)
    assert read_record(tmp_path / "api.json") is None
    assert read_record(tmp_path / "missing.json") is None
