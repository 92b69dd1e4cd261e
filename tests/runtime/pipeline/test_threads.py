"""Which threads a model's loading has started, and by whom."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from app.runtime.pipeline import threads

from ..service import bare_environment
from ..template import TEMPLATE


def run(program: str, **environment: str) -> str:
    """Run a program in a fresh interpreter; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"from app.runtime.pipeline.threads import *\n{program}"],
        cwd=TEMPLATE, env={**bare_environment(), **environment}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_process_with_one_thread_may_be_forked() -> None:
    assert run("print(why_not_forkable())") == ""


def test_a_python_thread_is_named() -> None:
    program = (
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, name='reader', daemon=True).start()\n"
        "print(why_not_forkable())"
    )
    assert run(program) == "Python (reader) started 1 thread while the model was loaded"


def test_threads_that_are_about_to_end_do_not_count() -> None:
    program = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(0.3,)).start()\n"
        "print(why_not_forkable())"
    )
    assert run(program) == ""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="OpenBLAS starts no thread here")
def test_a_librarys_threads_are_named() -> None:
    pytest.importorskip("numpy")
    program = "limit_threads(2)\nimport numpy\nprint(why_not_forkable())"
    assert run(program) == "numpy started 1 thread while the model was loaded"


def test_with_one_thread_each_libraries_start_none() -> None:
    pytest.importorskip("numpy")
    program = (
        "limit_threads(1)\nimport numpy\na = numpy.ones((500, 500))\na @ a\n"
        "print(why_not_forkable())"
    )
    assert run(program) == ""


def test_what_the_user_has_set_is_kept() -> None:
    program = (
        "import os\nlimit_threads(3)\n"
        "print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'],"
        " os.environ['OMP_WAIT_POLICY'])"
    )
    assert run(program, OMP_NUM_THREADS="7", MKL_NUM_THREADS="") == "7 3 PASSIVE"


@pytest.mark.parametrize(
    ("owners", "text"),
    [
        ([], ""),
        ([""], "1 thread was started while the model was loaded"),
        (["", ""], "2 threads were started while the model was loaded"),
        (["a", "", "a"], "a started 3 threads while the model was loaded"),
        (["a", "b", "b"], "b and a started 3 threads while the model was loaded"),
        (["a", "a", "b", "c"], "a, b and c started 4 threads while the model was loaded"),
    ],
)
def test_owners_become_a_sentence(owners: list[str], text: str) -> None:
    assert threads.describe_threads(owners) == text
