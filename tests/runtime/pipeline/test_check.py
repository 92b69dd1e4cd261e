"""``python -m app.runtime.pipeline.check``: the pipeline as the worker runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import OBEDIENT
from ..service import bare_environment
from ..template import PIPELINES, copy_template
from ..test_broken_pipelines import BROKEN, FUNCTIONS, LOADERS
from .checking import check


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
    assert check(tmp_path, slow, b"{}", "--repeat", "25", "--timeout", "4")["ok"]


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
