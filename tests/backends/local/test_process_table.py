"""Finding and ending what belongs to a deployment, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from denzel.backends.local import process_table
from denzel.backends.local.process_table import (
    MARK_VARIABLE,
    SERVICE_VARIABLE,
    end_processes,
    find_abandoned,
    find_processes,
    find_services,
    main_processes,
)
from denzel.polling import polls

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
def started(
    program: str, mark: str | None, cwd: Path | None = None, **more: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a Python program in a session of its own; give it and the first line it prints."""
    environment = {**os.environ, **({MARK_VARIABLE: mark} if mark else {}), **more}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        cwd=cwd,
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
        assert find_processes(mark) == [ours.pid]


def test_marked_processes_are_found_without_proc(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_table, "PROC", tmp_path / "missing")
    with started(POLITE, mark) as (ours, _), started(POLITE, f"{mark}0"):
        assert find_processes(mark) == [ours.pid]


def test_the_session_tells_of_those_who_lost_their_mark(mark: str) -> None:
    with started(FORGETFUL, mark) as (leader, child):
        leader.kill()
        leader.wait()
        assert find_processes(mark, leader.pid, Path.cwd()) == [int(child)]
        end_processes(lambda: find_processes(mark, leader.pid, Path.cwd()))


def test_what_a_process_has_started_belongs_to_it(mark: str) -> None:
    leaves = FORGETFUL.replace("environ['PATH']}", "environ['PATH']}, start_new_session=True")
    with started(leaves, mark) as (parent, child):
        assert find_processes(mark) == sorted([parent.pid, int(child)])
        os.kill(int(child), 9)


def test_a_session_that_someone_else_leads_is_left_alone(mark: str) -> None:
    with started(POLITE, None) as (other, _):
        assert find_processes(mark, other.pid, Path.cwd()) == []


def test_a_recorded_number_that_another_session_has_by_now_ends_nobody(
    mark: str, tmp_path: Path
) -> None:
    with started(FORGETFUL, None) as (leader, child):
        leader.kill()
        leader.wait()
        try:
            assert find_processes(mark, leader.pid, tmp_path) == []
        finally:
            os.kill(int(child), 9)


def test_services_are_told_by_what_supervisord_named_them(mark: str) -> None:
    starts = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); "
        "print(child.pid, flush=True); child.wait()"
    )
    with started(starts, mark, None, **{SERVICE_VARIABLE: mark}) as (main, child):
        # Popen returns a moment before the new program's environment can be read.
        named = {main.pid: mark, int(child): mark}
        assert any(find_services(mark) == named for _ in polls(0.01, timeout=10))
        assert main_processes(mark) == {mark: [main.pid]}
        os.kill(int(child), 9)


def test_who_asks_is_not_found(mark: str) -> None:
    asks = (
        "import sys; from denzel.backends.local.process_table import find_processes;"
        f"print(find_processes({mark!r}))"
    )
    environment = {**os.environ, MARK_VARIABLE: mark}
    done = subprocess.run(
        [sys.executable, "-c", asks], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_processes_are_asked_to_end_first(mark: str) -> None:
    with started(POLITE, mark) as (polite, _):
        end_processes(lambda: find_processes(mark))
        assert polite.wait() == -15


def test_processes_that_do_not_listen_are_killed(mark: str) -> None:
    with started(DEAF, mark) as (deaf, _):
        end_processes(lambda: find_processes(mark), grace=0.2)
        assert deaf.wait() == -9


def test_services_outlive_their_directory_and_are_found(tmp_path: Path, mark: str) -> None:
    gone, other = tmp_path / "gone", tmp_path / "other"
    for directory in (gone, other):
        directory.mkdir()
    with (
        started(POLITE, mark, cwd=gone) as (ours, _),
        started(POLITE, mark, cwd=other),
        started(POLITE, None, cwd=gone),
    ):
        assert find_abandoned(gone, {mark}) == []
        gone.rmdir()
        assert find_abandoned(gone, ()) == [ours.pid]
        gone.mkdir()  # as when it is made again, with nothing of the project in it
        assert find_abandoned(gone, ()) == [ours.pid]
        end_processes(lambda: find_abandoned(gone, ()))
        assert ours.wait(10) != 0


def test_services_outlive_their_private_directory_and_are_found(tmp_path: Path, mark: str) -> None:
    """As ``git clean -fdx`` leaves them, of which the next command may make a new one."""
    root, version = tmp_path / "shop", tmp_path / "shop" / ".denzel" / "versions" / "1"
    version.mkdir(parents=True)
    inner = root / "another"
    inner.mkdir()
    with (
        started(POLITE, mark, cwd=root) as (ours, _),
        started(POLITE, mark, cwd=version) as (serving, _),
        started(POLITE, f"{mark}-dev", cwd=root),
        started(POLITE, f"{mark}-another", cwd=inner),
        started(POLITE, None, cwd=root),
    ):
        marks = {f"{mark}-dev"}
        assert find_abandoned(root, {mark, *marks}) == []
        shutil.rmtree(root / ".denzel")
        assert find_abandoned(root, marks) == sorted([ours.pid, serving.pid])
