"""``python -m app.runtime.pipeline.check``: the pipeline as the worker runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import OBEDIENT
from ..service import bare_environment
from ..template import PIPELINES, copy_template
from ..test_broken_pipelines import BROKEN, FUNCTIONS, LOADERS


def check(
    directory: Path, pipeline: str | None, sample: bytes = b"", *arguments: str, **variables: str
) -> dict[str, Any]:
    """Return the report on a pipeline."""
    copy_template(directory, pipeline)
    done = subprocess.run(
        [sys.executable, "-m", "app.runtime.pipeline.check", *arguments], cwd=directory,
        env={**bare_environment(), **variables}, input=sample, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_good_pipeline_passes_every_step(tmp_path: Path) -> None:
    report = check(tmp_path, OBEDIENT, b'{"value": [1, 2]}')
    assert report["ok"]
    assert report["result"] == {"echo": [1, 2]}
    assert [step["name"] for step in report["steps"]] == [
        "import", "sample", "verify_input", "verify_input's JSON", "load_model", "process",
        "predict", "predict's JSON",
    ]  # fmt: skip
    assert all(step["ok"] and step["seconds"] >= 0 for step in report["steps"])


def test_a_file_goes_through_parse_request(tmp_path: Path) -> None:
    pipeline = (PIPELINES / "files.py").read_text(encoding="utf-8")
    report = check(tmp_path, pipeline, b"\xff\xd8", "--content-type", "image/jpeg")
    assert report["ok"]
    assert report["result"]["raw"]["bytes"] == 2
    assert [step["name"] for step in report["steps"]][1:3] == ["parse_request", "verify_input"]
    report = check(tmp_path, OBEDIENT, b"\xff\xd8", "--content-type", "image/jpeg")
    assert "takes JSON alone: define parse_request" in report["steps"][-1]["detail"]


@pytest.mark.parametrize("sample", [b"", b'{"value": 1}'])
def test_a_sample_whose_length_is_told_needs_no_end(tmp_path: Path, sample: bytes) -> None:
    """Docker may lose the end of a container's input."""
    copy_template(tmp_path, OBEDIENT)
    module = [sys.executable, "-m", "app.runtime.pipeline.check"]
    with subprocess.Popen(
        [*module, "--sample-bytes", str(len(sample))], cwd=tmp_path, env=bare_environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as checking:  # fmt: skip
        assert checking.stdin is not None
        assert checking.stdout is not None
        checking.stdin.write(sample)
        checking.stdin.flush()
        report = json.loads(checking.stdout.read())  # while the input stays open
    assert report["ok"]
    assert report["result"] == ({"echo": 1} if sample else None)


def test_without_a_sample_import_and_load_are_tried(tmp_path: Path) -> None:
    report = check(tmp_path, None)
    assert report["ok"]
    assert [step["name"] for step in report["steps"]] == ["import", "load_model"]


@pytest.mark.parametrize("name", ["syntax error", "missing function", "leaving"])
def test_a_broken_pipeline_fails_at_its_import(tmp_path: Path, name: str) -> None:
    pipeline, reason = BROKEN[name]
    report = check(tmp_path, pipeline, b"{}")
    assert not report["ok"]
    assert [step["name"] for step in report["steps"]] == ["import"]
    assert reason in report["steps"][-1]["detail"]


def test_a_load_model_that_raises_is_told(tmp_path: Path) -> None:
    body, _ = LOADERS["raising"]
    pipeline = FUNCTIONS.replace("def load_model(): return None", f"def load_model(): {body}")
    report = check(tmp_path, pipeline, b"{}")
    assert report["steps"][-1]["name"] == "load_model"
    assert "FileNotFoundError: no iris_svc.pkl" in report["steps"][-1]["detail"]


def test_a_model_pickled_in_a_notebook_is_told_what_to_do(tmp_path: Path) -> None:
    """The program is run with ``python -m``, so its ``__main__`` shows another name."""
    body = "import pickle; return pickle.loads(b'c__main__\\nScaler\\n.')"
    pipeline = FUNCTIONS.replace("def load_model(): return None", f"def load_model(): {body}")
    detail = check(tmp_path, pipeline, b"{}")["steps"][-1]["detail"]
    assert "move Scaler into a file such as app/logic/model.py" in detail
    assert "pickle the object again" in detail


@pytest.mark.parametrize(
    ("sample", "step", "detail"),
    [
        (b"not json", "sample", ""),
        (b"[1]", "sample", "object"),
        (b'{"verify": "ValueError"}', "verify_input", "no data to predict for!"),
        (b'{"verify": "SystemExit"}', "verify_input", "leaving"),
        (b'{"verify": "unserialisable"}', "verify_input's JSON", "Point"),
        (b'{"process": "fail"}', "process", "name 'np' is not defined"),
        (b'{"do": "two arguments"}', "predict", "No such file"),
        (b'{"do": "NaN"}', "predict's JSON", "NaN"),
        (b'{"do": "a list"}', "predict's JSON", "must return a dict, not list"),
    ],
)
def test_the_step_that_fails_is_the_last_and_says_why(
    tmp_path: Path, sample: bytes, step: str, detail: str
) -> None:
    report = check(tmp_path, OBEDIENT, sample)
    assert not report["ok"]
    assert report["result"] is None
    assert [each["ok"] for each in report["steps"]][-1] is False
    assert report["steps"][-1]["name"] == step
    assert detail in report["steps"][-1]["detail"]


def test_what_the_pipeline_prints_does_not_mix_with_the_report(tmp_path: Path) -> None:
    noisy = FUNCTIONS.replace(
        "def load_model(): return None",
        "def load_model():\n    import os\n    print('noise')\n    os.system('echo more')",
    )
    assert check(tmp_path, noisy, b"{}")["ok"]


@pytest.mark.parametrize(
    ("body", "ok"),
    [("[{'n': 1} for _ in batch]", True), ("[]", False), ("[{}, {}]", False), ("[[]]", False)],
)
def test_predict_batch_is_tried_as_well(tmp_path: Path, body: str, ok: bool) -> None:
    pipeline = f"{FUNCTIONS}\ndef predict_batch(model, batch): return {body}\n"
    report = check(tmp_path, pipeline, b"{}")
    assert report["ok"] is ok
    names = [step["name"] for step in report["steps"]]
    assert names[4:8] == ["load_model", "process", "predict", "predict's JSON"]
    assert names[8:] == ["predict_batch", "predict_batch's JSON"]


DESCRIBED = f"""{FUNCTIONS}
REQUEST = {{"properties": {{"n": {{"type": "integer"}}}}}}
RESPONSE = {{"properties": {{"n": {{"type": "integer"}}}}}}
def predict(model, data): return {{"n": data["m"]}}
"""


def test_request_and_response_are_tried_as_well(tmp_path: Path) -> None:
    """A schema is checked without threads, so the model is shared all the same."""
    report = check(tmp_path, DESCRIBED, b'{"n": 1, "m": 2}')
    assert report["ok"], report
    names = [step["name"] for step in report["steps"]]
    assert names[2:4] == ["REQUEST", "verify_input"]
    assert names[-1] == "RESPONSE"
    assert report["model"]["shared"]


@pytest.mark.parametrize(
    ("sample", "step", "detail"),
    [
        (b'{"n": "x"}', "REQUEST", 'json_data["n"]: "x" is not of type "integer"'),
        (b'{"n": 1, "m": "x"}', "RESPONSE", 'result["n"]: "x" is not of type "integer"'),
    ],
)
def test_what_is_not_as_they_say_fails(
    tmp_path: Path, sample: bytes, step: str, detail: str
) -> None:
    report = check(tmp_path, DESCRIBED, sample)
    assert not report["ok"]
    assert (report["steps"][-1]["name"], report["steps"][-1]["detail"]) == (step, detail)


# Where it fails: the user's own lines

LINES = """
import json
from app.logic import steps

def verify_input(json_data):
    if "zork" in json_data:
        return json_data["zork"]["zork"]
    return json_data

def load_model(): return None
def process(model, data): return steps.process(data)
def predict(model, data): return json.loads(data)
"""
STEPS = """
def process(data):
    rows = data["rows"]
    return inner(rows)

def inner(rows):
    return [
        row["b"]
        for row in rows
    ][0]
"""


@pytest.mark.parametrize(
    ("sample", "step", "lines"),
    [
        (
            b'{"zork": {}}',
            "verify_input",
            ['app/logic/pipeline.py:7: return json_data["zork"]["zork"]'],
        ),
        (
            b'{"rows": [{}]}',
            "process",
            [
                "app/logic/pipeline.py:11: def process(model, data): return steps.process(data)",
                "app/logic/steps.py:4: return inner(rows)",
                'app/logic/steps.py:8: row["b"]',
            ],
        ),
        (
            b'{"rows": [{"b": "no"}]}',
            "predict",
            ["app/logic/pipeline.py:12: def predict(model, data): return json.loads(data)"],
        ),
    ],
)  # fmt: skip
def test_a_failing_step_shows_the_lines_of_the_users_files(
    tmp_path: Path, sample: bytes, step: str, lines: list[str]
) -> None:
    """Innermost last, and none of denzel's or of a library's."""
    (tmp_path / "app" / "logic").mkdir(parents=True)
    (tmp_path / "app" / "logic" / "steps.py").write_text(STEPS, encoding="utf-8")
    failed = check(tmp_path, LINES, sample)["steps"][-1]
    assert failed["name"] == step
    found = [line for line in failed["lines"] if "in <listcomp>" not in line]
    assert [line for line in found if line != "app/logic/steps.py:7: return ["] == lines


def test_a_syntax_error_is_shown_with_its_line(tmp_path: Path) -> None:
    failed = check(tmp_path, FUNCTIONS + "\ndef broken(:\n")["steps"][-1]
    assert failed["lines"] == ["app/logic/pipeline.py:7: def broken(:"]


def test_no_file_of_denzels_is_shown(tmp_path: Path) -> None:
    failed = check(tmp_path, FUNCTIONS.replace("return {}", "return {'a': {1}}"), b"{}")["steps"][
        -1
    ]
    assert failed["detail"].startswith('TypeError: result["a"] is a set')
    assert failed["lines"] == []


# It fails where the service would

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
    report = check(tmp_path, pipeline, b"{}", "--timeout", "2")
    failed = report["steps"][-1]
    assert (report["ok"], failed["name"]) == (False, step)
    assert "did not end within 2 s" in failed["detail"]
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
    report = check(tmp_path, FORKED_THREADS, b"{}", "--timeout", "3", MODEL_SHARING="fork")
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
    assert not child.exists() or child.read_text(encoding="ascii").split()[2] == "Z"


# More than one prediction, and without a sample


def test_predictions_are_repeated_and_timed(tmp_path: Path) -> None:
    counting = FUNCTIONS.replace("return {}", "open('calls', 'a').write('x'); return {}").replace(
        "def predict(model, data): open", "def predict(model, data):\n    open"
    )
    report = check(tmp_path, counting, b"{}", "--repeat", "20")
    assert (tmp_path / "calls").read_text(encoding="ascii") == "x" * 21
    assert report["repeat"]["count"] == 20
    assert 0 < report["repeat"]["median_seconds"] <= report["repeat"]["worst_seconds"] < 5
    assert 10**6 < report["memory"]["pss_bytes"] <= report["memory"]["rss_bytes"]


def test_repeated_predictions_may_take_longer_than_the_limit_together(tmp_path: Path) -> None:
    slow = FUNCTIONS.replace("return {}", "import time; time.sleep(0.2); return {}").replace(
        "def predict(model, data): import", "def predict(model, data):\n    import"
    )
    assert check(tmp_path, slow, b"{}", "--repeat", "18", "--timeout", "2.5")["ok"]


def test_example_is_used_without_a_sample(tmp_path: Path) -> None:
    example = FUNCTIONS.replace("return {}", "return {'got': data}") + "EXAMPLE = {'a': 2**70}\n"
    report = check(tmp_path, example)
    assert (report["source"], report["result"]) == ("EXAMPLE", {"got": {"a": 2**70}})
    report = check(tmp_path, example, b'{"b": 1}')
    assert (report["source"], report["result"]) == ("sample", {"got": {"b": 1}})


def test_an_example_that_is_no_request_fails(tmp_path: Path) -> None:
    report = check(tmp_path, FUNCTIONS + "EXAMPLE = {'a': {1}}\n")
    assert report["steps"][-1]["name"] == "EXAMPLE"
    assert 'EXAMPLE["a"] is a set' in report["steps"][-1]["detail"]


def test_an_async_verify_input_is_awaited(tmp_path: Path) -> None:
    awaited = FUNCTIONS.replace("def verify_input", "async def verify_input").replace(
        "return {}", "return {'got': data}"
    )
    assert check(tmp_path, awaited, b'{"a": 1}')["result"] == {"got": {"a": 1}}
