"""A side's processes are found with their descendants, and ended."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.commands import run, running
from benchmarks.errors import BenchmarkError
from benchmarks.processes import MARK_VARIABLE, cpu_seconds, find_processes, memory
from denzel.polling import polls

CHILD = "import time; time.sleep(60)"
PARENT = f"""
import os, subprocess, sys
for _ in range(2_000_000): pass
subprocess.Popen([sys.executable, "-c", {CHILD!r}], env={{}})
open("ready", "w").close()
{CHILD}
"""


def test_a_tree_is_found_measured_and_ended(tmp_path: Path) -> None:
    env = {**os.environ, MARK_VARIABLE: "tree"}
    argv = [sys.executable, "-c", PARENT]
    with running(argv, cwd=tmp_path, env=env, log=tmp_path / "log"):
        for _ in polls(0.02, timeout=20):
            if (tmp_path / "ready").exists():
                break
        pids = find_processes("tree")
        assert len(pids) == 2  # the child without the mark is found as a descendant
        assert cpu_seconds(pids) > 0
        used = memory(pids)
        assert 0 < used.pss <= used.rss
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert find_processes("tree") == []
    assert memory(pids).rss == 0


def test_a_program_that_fails_is_named_with_what_it_printed() -> None:
    with pytest.raises(BenchmarkError, match=r"failed \(3\):\nno luck"):
        run([sys.executable, "-c", "import sys; print('no luck'); sys.exit(3)"])
