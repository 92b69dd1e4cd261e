"""Which lines of the user's files a failing check shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..test_broken_pipelines import FUNCTIONS
from .checking import check

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
