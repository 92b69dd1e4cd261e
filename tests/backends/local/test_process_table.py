"""Finding and ending what belongs to a deployment, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from denzel.backends.local import process_table
from denzel.backends.local.process_table import MARK_VARIABLE, end_processes, find_processes

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True:
    time.sleep(60)
"""
POLITE = "print('ready', flush=True)\nimport time\ntime.sleep(600)"
FORGETFUL = (
    "import os, subprocess, sys\n"
    "child = subprocess.Popen(['sleep', '600'], env={'PATH': os.environ['PATH']})\n"
    "print(child.pid, flush=True)\n" + POLITE
)


@contextmanager
def started(program: str, mark: str | None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a Python program in a session of its own; give it and the first line it prints."""
    environment = {**os.environ, **({MARK_VARIABLE: mark} if mark else {})}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        try:
            yield child, child.stdout.readline().strip()
        finally:
            child.kill()


@pytest.fixture
def mark(tmp_path: Path) -> str:
    return f"test-{tmp_path.stat().st_ino}"


def test_marked_processes_are_found(mark: str) -> None:
    with started(POLITE, mark) as (ours, _), started(POLITE, f"{mark}0"), started(POLITE, None):
        assert find_processes(mark, None) == [ours.pid]


def test_marked_processes_are_found_without_proc(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_table, "PROC", tmp_path / "missing")
    with started(POLITE, mark) as (ours, _), started(POLITE, f"{mark}0"):
        assert find_processes(mark, None) == [ours.pid]


def test_the_session_tells_of_those_who_lost_their_mark(mark: str) -> None:
    with started(FORGETFUL, mark) as (leader, child):
        assert find_processes(mark, None) == [leader.pid]
        assert find_processes(mark, leader.pid) == sorted([leader.pid, int(child)])
        leader.kill()
        leader.wait()
        assert find_processes(mark, leader.pid) == [int(child)]
        end_processes(lambda: find_processes(mark, leader.pid))


def test_a_session_that_someone_else_leads_is_left_alone(mark: str) -> None:
    with started(POLITE, None) as (other, _):
        assert find_processes(mark, other.pid) == []


def test_who_asks_is_not_found(mark: str) -> None:
    asks = (
        "import sys; from denzel.backends.local.process_table import find_processes;"
        f"print(find_processes({mark!r}, None))"
    )
    environment = {**os.environ, MARK_VARIABLE: mark}
    done = subprocess.run(
        [sys.executable, "-c", asks], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_processes_are_asked_to_end_first(mark: str) -> None:
    with started(POLITE, mark) as (polite, _):
        end_processes(lambda: find_processes(mark, None))
        assert polite.wait() == -15


def test_processes_that_do_not_listen_are_killed(mark: str) -> None:
    with started(DEAF, mark) as (deaf, _):
        end_processes(lambda: find_processes(mark, None), grace=0.2)
        assert deaf.wait() == -9
