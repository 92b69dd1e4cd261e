"""What the kernel says of processes."""

from __future__ import annotations

import os
import subprocess
import sys

from app.runtime.worker.process_tree import children_of, cpu_seconds

from ..polling import wait_until

COMPUTE = "import time\nwhile time.process_time() < 0.5: pass\n"


def test_a_child_is_found_whatever_its_name() -> None:
    program = "import ctypes; ctypes.CDLL(None).prctl(15, b'a) b (c', 0, 0, 0); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as child:
        assert child.pid in children_of(os.getpid())
        child.communicate(b"\n")
    assert child.pid not in children_of(os.getpid())


def test_the_processor_time_of_a_childs_child_counts() -> None:
    program = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {COMPUTE!r}])\ninput()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as child:
        wait_until(
            lambda: cpu_seconds([child.pid])[child.pid] > 0.4,
            30,
            what="the child's child has computed",
        )
        child.communicate(b"\n")


def test_a_process_that_is_gone_has_used_nothing() -> None:
    gone = 2**22 + 1
    assert cpu_seconds([gone]) == {gone: 0.0}
