"""What results look like."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import click
import pytest

from denzel import console
from denzel.backends.base import Passing
from denzel.services import NOT_LAUNCHED, ServiceStatus, State, Status, WorkerStatus

WORKER = "worker@iris_classifier"


def deployment(state: State, *workers: WorkerStatus, denzel: State | None = None) -> Status:
    """Return a status whose services but Redis are in ``state``, in no particular order."""
    return Status(
        (
            ServiceStatus("redis", State.UP),
            ServiceStatus("api", state, 8000),
            ServiceStatus("denzel", denzel or state),
            ServiceStatus("monitor", state, 5555),
        ),
        workers,
    )


READY = deployment(State.UP, WorkerStatus(WORKER, State.UP))


@pytest.fixture(autouse=True)
def no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare plain text."""
    monkeypatch.setenv("NO_COLOR", "1")


def shown(status: Status | None, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what ``denzel status`` prints."""
    console.print_status(status, as_json=False)
    return capsys.readouterr().out


def test_what_a_worker_that_is_up_says_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as why its model is not shared, or which prediction hangs."""
    status = deployment(State.UP, WorkerStatus(WORKER, State.UP, "process 7 has waited"))
    last = shown(status, capsys).splitlines()[-1]
    assert last == "Worker: worker@iris_classifier - UP (process 7 has waited)"


def test_gpus_are_shown_below_their_worker(capsys: pytest.CaptureFixture[str]) -> None:
    gpu = {
        "label": "GPU 0", "name": "NVIDIA H100", "uuid": "GPU-1", "problem": "",
        "memory_used_bytes": 3 * 2**29, "memory_total_bytes": 80 * 2**30,
        "utilization_percent": 45, "pids": [7, 8],
    }  # fmt: skip
    lost = {**gpu, "label": "GPU 1", "problem": "GPU is lost\033[2J", "pids": [9]}
    unknown = {
        **gpu, "label": "GPU 5", "name": "", "memory_total_bytes": None, "pids": [],
        "utilization_percent": None,
    }  # fmt: skip
    worker = WorkerStatus(WORKER, State.ERROR, "GPU 1: it is lost", gpus=[gpu, lost, unknown])
    console.print_status(deployment(State.UP, worker), as_json=False)
    assert capsys.readouterr().out.splitlines()[-4:] == [
        f"Worker: {WORKER} - ERROR (GPU 1: it is lost)",
        "    GPU 0 (NVIDIA H100) - 1.5 of 80.0 GiB in use, 45 % busy, processes 7, 8",
        "    GPU 1 (NVIDIA H100) - ERROR (GPU is lost[2J), process 9",
        "    GPU 5",
    ]


def test_a_ready_deployment_looks_as_in_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(READY, capsys) == (
        "Services:\n"
        "    denzel - UP\n"
        "    monitor - UP [ Port: 5555 ]\n"
        "    api - UP [ Port: 8000 ]\n"
        "    redis - UP\n"
        "Worker: worker@iris_classifier - UP\n"
    )


def test_installing_looks_as_in_the_tutorial(capsys: pytest.CaptureFixture[str]) -> None:
    status = deployment(State.PIP_INSTALLING, WorkerStatus(WORKER, State.DOWN))
    assert shown(status, capsys) == (
        "Services:\n"
        "    denzel - PIP INSTALLING...\n"
        "    monitor - PIP INSTALLING...\n"
        "    api - PIP INSTALLING...\n"
        "    redis - UP\n"
    )


def test_loading_looks_as_in_the_tutorial(capsys: pytest.CaptureFixture[str]) -> None:
    status = deployment(State.UP, WorkerStatus(WORKER, State.LOADING))
    assert shown(status, capsys) == (
        "Services:\n"
        "    denzel - UP\n"
        "    monitor - UP\n"
        "    api - UP\n"
        "    redis - UP\n"
        "Worker: all - LOADING...\n"
    )


def test_an_error_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    status = deployment(State.UP, WorkerStatus(WORKER, State.ERROR, "load_model raised ValueError"))
    status = replace(
        status, services=(*status.services, ServiceStatus("extra", State.ERROR, None, "see logs"))
    )
    lines = shown(status, capsys).splitlines()
    assert lines[-1] == f"Worker: {WORKER} - ERROR (load_model raised ValueError)"
    assert lines[-2] == "    extra - ERROR (see logs)"


def test_a_project_that_is_not_launched(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(None, capsys) == NOT_LAUNCHED + "\n"


@pytest.mark.parametrize(("status", "launched"), [(READY, True), (None, False)])
def test_json_holds_the_same(
    status: Status | None, launched: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    console.print_status(status, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["launched"] == document["ready"] == launched
    states = {line["name"]: line["state"] for line in document["services"] + document["workers"]}
    assert states == ({**dict.fromkeys(["api", "denzel", "monitor", "redis"], "UP"), WORKER: "UP"}
                      if launched else {})  # fmt: skip


def test_live_output_into_a_pipe_shows_changes_alone(capsys: pytest.CaptureFixture[str]) -> None:
    starting = deployment(State.STARTING)
    console.print_live([starting, starting, READY, READY, None], as_json=False)
    blocks = ["\n".join(console.status_lines(status)) for status in (starting, READY, None)]
    assert capsys.readouterr().out == click.unstyle("\n\n".join(blocks)) + "\n"


def test_live_json_is_one_document_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_live([None, READY, READY], as_json=True)
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["ready"] for document in documents] == [False, True]


ON_A_TERMINAL = """
from denzel import console
from denzel.services import *
states = (State.STARTING, State.UP)
statuses = [Status((ServiceStatus("api", state, 8000),)) for state in states]
console.print_live(statuses, as_json=False)
"""


def on_a_terminal(script: str, **environment: str) -> str:
    """Return what a Python program writes to a terminal of its own."""
    leader, follower = pty.openpty()
    variables = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    variables = {**variables, "TERM": "xterm", **environment}
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=follower, stderr=follower, env=variables
    )
    os.close(follower)
    with os.fdopen(leader, "rb") as output:
        text = output.read1().decode().replace("\r\n", "\n")
    assert done.returncode == 0, text
    return text


def test_live_output_on_a_terminal_is_redrawn_in_place() -> None:
    assert on_a_terminal(ON_A_TERMINAL, NO_COLOR="1") == (
        "Services:\n    api - STARTING...\n\x1b[2F\x1b[JServices:\n    api - UP [ Port: 8000 ]\n"
    )


def test_a_terminal_gets_colour_unless_it_is_not_wanted() -> None:
    green = click.style("UP", fg="green")
    assert green in on_a_terminal(ON_A_TERMINAL)
    assert "\x1b[3" not in on_a_terminal(ON_A_TERMINAL, NO_COLOR="1")


UNDER_WAY = """
import sys
sys.stderr = sys.stdout
from denzel.backends.base import Passing
from denzel.console import progress
for line in (Passing("step 1"), "done 1", Passing("x" * 200), Passing(""), "done 2"):
    progress(line)
"""


def test_what_is_under_way_passes_on_a_terminal() -> None:
    shown = on_a_terminal(UNDER_WAY, COLUMNS="20", LINES="10")
    assert shown == f"step 1\n\x1b[1F\x1b[Jdone 1\n{'x' * 19}\n\x1b[1F\x1b[Jdone 2\n"


def test_what_is_under_way_is_not_shown_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (Passing("step 1"), "done 1", Passing("")):
        console.progress(line)
    assert capsys.readouterr().err == "done 1\n"


def test_waiting_off_a_terminal_names_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    view = console.WaitView()
    for status in (deployment(State.STARTING), deployment(State.STARTING), READY):
        view.show(status)
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("redis UP, api STARTING..., denzel STARTING..., monitor STARTING...")
    assert second.endswith(f"api UP, denzel UP, monitor UP, {WORKER} UP")


def test_log_lines_stand_behind_their_service(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_logs([("api", "ready"), ("callbacks", "ready, too")])
    assert capsys.readouterr().out == "api       | ready\ncallbacks | ready, too\n"


def check_report(**changes: Any) -> dict[str, Any]:
    """Return what a check reports."""
    steps = [{"name": "import", "ok": True, "seconds": 0.25, "detail": "", "lines": []}]
    model = {"shared": True, "summary": "2 processes with 1 thread each share one model"}
    return {
        "ok": True, "steps": steps, "source": None, "result": None, "model": model,
        "repeat": None, "memory": None, **changes,
    }  # fmt: skip


def test_a_check_names_what_failed_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["app/logic/pipeline.py:12: model = load()", "app/logic/files.py:3: open(name)"]
    failed = {
        "name": "load_model", "ok": False, "seconds": 1.0, "detail": "FileNotFoundError: x",
        "lines": lines,
    }  # fmt: skip
    report = check_report(ok=False)
    console.print_check({**report, "steps": [*report["steps"], failed]})
    assert capsys.readouterr().out == (
        "ok      import (0.250 s)\nFAILED  load_model: FileNotFoundError: x\n"
        "          app/logic/pipeline.py:12: model = load()\n"
        "          app/logic/files.py:3: open(name)\n"
    )


def test_a_check_shows_the_prediction_and_what_it_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    repeat = {"count": 20, "median_seconds": 0.0012, "worst_seconds": 0.5}
    memory = {"rss_bytes": 200 * 2**20, "pss_bytes": 50 * 2**20}
    console.print_check(
        check_report(source="sample", result={"id": 2**70}, repeat=repeat, memory=memory)
    )
    assert capsys.readouterr().out.splitlines()[1:] == [
        "2 processes with 1 thread each share one model",
        "20 predictions: median 1.20 ms, worst 500.00 ms; memory: 200 MiB, 50 MiB not counting "
        "what is shared twice",
        "{",
        f'  "id": {2**70}',
        "}",
    ]


def test_a_check_without_a_request_says_how_to_try_one(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_check(check_report())
    assert "EXAMPLE" in capsys.readouterr().out


def test_callbacks_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = {
        "task_id": "t1", "uri": "http://a/", "state": "PENDING", "attempts": 2,
        "last_status": 500, "last_error": "answered 500", "last_at": 1.0,
        "next_at": time.mktime((2026, 11, 23, 10, 0, 0, 0, 0, -1)), "expires_at": None,
    }  # fmt: skip
    given_up = {
        **waiting, "task_id": "task-2", "state": "FAILED", "next_at": None, "last_error": None,
        "expires_at": time.mktime((2026, 11, 30, 10, 0, 0, 0, 0, -1)),
    }  # fmt: skip
    console.print_callbacks([waiting, given_up], as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "TASK    STATE    TRIES  NEXT TRY             KEPT UNTIL           LAST ANSWER   URI",
        "t1      PENDING  2      2026-11-23 10:00:00  -                    answered 500  http://a/",
        "task-2  FAILED   2      -                    2026-11-30 10:00:00  -             http://a/",
    ]
    console.print_callbacks([], as_json=False)
    assert capsys.readouterr().out == "Every callback is delivered\n"
    console.print_callbacks([given_up], as_json=True)
    assert json.loads(capsys.readouterr().out) == [given_up]


def test_what_takes_long_tells_what_is_waited_for() -> None:
    script = """
import time
from denzel import console
console.PATIENCE_SECONDS = 0
with console.waiting("Waiting for the prediction"):
    deadline = time.monotonic() + 20
    while not console._passing_view().shown and time.monotonic() < deadline:
        time.sleep(0.01)
    console.progress("Stopping api ... done")
"""
    shown = on_a_terminal(script)
    assert shown.startswith("Waiting for the prediction (")
    assert shown.endswith("Stopping api ... done\n")
    assert "\x1b[1F\x1b[JStopping api" in shown
