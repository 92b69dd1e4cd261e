"""``python -m app.runtime.pipeline.check``: the pipeline without services."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import OBEDIENT
from ..deployment import bare_environment, copy_template
from ..test_broken_pipelines import BROKEN, FUNCTIONS, LOADERS


def check(directory: Path, pipeline: str | None, sample: bytes = b"") -> dict[str, Any]:
    """Return the report on a pipeline."""
    copy_template(directory, pipeline)
    done = subprocess.run(
        [sys.executable, "-m", "app.runtime.pipeline.check"], cwd=directory, env=bare_environment(),
        input=sample, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_good_pipeline_passes_every_step(tmp_path: Path) -> None:
    report = check(tmp_path, OBEDIENT, b'{"value": [1, 2]}')
    assert report["ok"]
    assert report["result"] == {"echo": [1, 2]}
    assert [step["name"] for step in report["steps"]] == [
        "import", "load_model", "sample", "verify_input", "verify_input's JSON", "process",
        "predict", "predict's JSON",
    ]  # fmt: skip
    assert all(step["ok"] and step["seconds"] >= 0 for step in report["steps"])


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
    assert "predict_batch" in report["steps"][-1]["name"]
