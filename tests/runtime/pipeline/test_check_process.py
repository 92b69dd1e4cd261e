"""A check fails where the service would: its processes, threads, limits, and their ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..polling import wait_until
from ..test_broken_pipelines import FUNCTIONS
from .checking import check

HANG = FUNCTIONS.replace(
    "def predict(model, data): return {}",
    """
import threading
def predict(model, data):
    threading.Event().wait()
""",
)
DEAF = FUNCTIONS.replace(
    "def load_model(): return None",
    """
import signal, time
def load_model():
    while True:
        try:
            time.sleep(100)
        except BaseException:
            pass
""",
)


@pytest.mark.parametrize(
    ("pipeline", "step", "line"),
    [(HANG, "predict", "threading.Event().wait()"), (DEAF, "load_model", "time.sleep(100)")],
)
def test_a_step_that_hangs_is_ended_and_shown(
    tmp_path: Path, pipeline: str, step: str, line: str
) -> None:
    report = check(tmp_path, pipeline, b"{}", "--timeout", "4")
    failed = report["steps"][-1]
    assert (report["ok"], failed["name"]) == (False, step)
    assert "did not end within 4 s" in failed["detail"]
    assert failed["lines"][-1].startswith("app/logic/pipeline.py:")
    assert failed["lines"][-1].endswith(line)


FORKED_THREADS = """
import queue, threading
jobs, answers = queue.Queue(), queue.Queue()

def work():
    while True:
        answers.put(jobs.get())

def verify_input(json_data): return json_data

def load_model():
    threading.Thread(target=work, daemon=True).start()
    jobs.put(1)  # warmed up
    answers.get()

def process(model, json_data): return json_data

def predict(model, data):
    jobs.put(1)
    return {"answer": answers.get()}
"""


def test_a_model_with_threads_gets_a_process_of_its_own(tmp_path: Path) -> None:
    """As the worker gives it one, since a forked process would wait for ever."""
    report = check(tmp_path, FORKED_THREADS, b"{}")
    assert report["ok"], report
    assert report["result"] == {"answer": 1}
    assert report["model"]["shared"] is False
    assert "thread" in report["model"]["reason"]
    assert [step["name"] for step in report["steps"]] == [
        "import", "sample", "verify_input", "verify_input's JSON", "load_model", "process",
        "predict", "predict's JSON",
    ]  # fmt: skip


def test_a_model_with_threads_that_is_forked_all_the_same_hangs(tmp_path: Path) -> None:
    report = check(tmp_path, FORKED_THREADS, b"{}", "--timeout", "4", MODEL_SHARING="fork")
    assert report["steps"][-1]["name"] == "predict"
    assert report["steps"][-1]["lines"][-1].endswith('return {"answer": answers.get()}')


WHERE = """
import os
loaded = None

def verify_input(json_data):
    return {"pid": os.getpid(), "loaded": loaded, **json_data}

def load_model():
    global loaded
    loaded = os.getpid()
    return {"pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}

def process(model, json_data): return json_data

def predict(model, data):
    return {"verified": data, "model": model, "pid": os.getpid()}
"""


@pytest.mark.parametrize("sharing", ["auto", "none"])
def test_each_function_runs_in_a_process_as_in_a_deployment(tmp_path: Path, sharing: str) -> None:
    report = check(tmp_path, WHERE, b"{}", MODEL_SHARING=sharing, WORKER_CONCURRENCY="1")
    result = report["result"]
    assert result["verified"]["loaded"] is None  # the API has no model
    assert result["verified"]["pid"] != result["model"]["pid"]
    assert (result["pid"] == result["model"]["pid"]) is (sharing == "none")
    assert result["model"]["threads"] == str(report["model"]["threads"])


def test_the_users_own_number_of_threads_is_kept(tmp_path: Path) -> None:
    report = check(tmp_path, WHERE, b"{}", OMP_NUM_THREADS="7")
    assert report["result"]["model"]["threads"] == "7"


@pytest.mark.parametrize(("visible", "seen"), [("5,7", "5"), (None, None)])
def test_with_gpus_one_is_seen(tmp_path: Path, visible: str | None, seen: str | None) -> None:
    looking = FUNCTIONS.replace("return {}", "return {'cuda': CUDA}").replace(
        "def load_model", "import os; CUDA = os.environ.get('CUDA_VISIBLE_DEVICES')\ndef load_model"
    )
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    report = check(tmp_path, looking, b"{}", GPU="1", **variables)
    assert (report["result"], report["model"]["shared"]) == ({"cuda": seen}, False)


def test_the_workers_time_limit_holds(tmp_path: Path) -> None:
    slow = FUNCTIONS.replace("return {}", "import time; time.sleep(60)").replace(
        "def predict(model, data): import", "def predict(model, data):\n    import"
    )
    report = check(tmp_path, slow, b"{}", PREDICTION_TIMEOUT="0.5")
    assert "the prediction took longer than 0.5 s" in report["steps"][-1]["detail"]


@pytest.mark.parametrize(
    ("end", "detail"),
    [
        ("os._exit(3)", "exit code 3"),
        ("os._exit(0)", "exit code 0"),
        ("os.kill(os.getpid(), 9)", "SIGKILL (out of memory?)"),
        ("ctypes.string_at(0)", "SIGSEGV"),
    ],
)
@pytest.mark.parametrize("step", ["verify_input", "load_model", "predict"])
def test_a_process_that_dies_is_told_of(tmp_path: Path, step: str, end: str, detail: str) -> None:
    heads = {
        "verify_input": "def verify_input(json_data): return json_data",
        "load_model": "def load_model(): return None",
        "predict": "def predict(model, data): return {}",
    }
    head = heads[step].partition(": ")[0]
    pipeline = "import ctypes, os\n" + FUNCTIONS.replace(heads[step], f"{head}:\n    {end}")
    report = check(tmp_path, pipeline, b"{}")
    failed = report["steps"][-1]
    assert (report["ok"], failed["name"], failed["ok"]) == (False, step, False)
    assert failed["detail"] == f"the process ended: {detail}"
    if detail == "SIGSEGV":
        assert any(line.endswith(end) for line in failed["lines"])


def test_nothing_is_left_running(tmp_path: Path) -> None:
    left = FUNCTIONS.replace(
        "def load_model(): return None",
        """
def load_model():
    import pathlib, subprocess
    child = subprocess.Popen(["sleep", "100"])
    pathlib.Path("child").write_text(str(child.pid))
""",
    )
    assert check(tmp_path, left, b"{}")["ok"]
    child = Path("/proc") / (tmp_path / "child").read_text(encoding="ascii") / "stat"

    def has_ended() -> bool:
        try:
            return child.read_text(encoding="ascii").split()[2] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_until(has_ended, 20, what="the model's own process has ended")
