"""What predict may return and raise, seen from outside a running deployment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .deployment import Deployment
from .test_worker import processes

GOOD: dict[str, Any] = {
    "tutorial": {"a": "Iris-setosa", "b": "Iris-virginica"},
    "scalars": {
        "float64": 1.5, "float32": 0.25, "float16": 0.5, "int64": -(2**63), "uint64": 2**64 - 1,
        "int8": -1, "bool": True, "str": "é",
    },
    "arrays": {
        "plain": [[0, 1, 2], [3, 4, 5]], "transposed": [[0, 3], [1, 4], [2, 5]],
        "strided": [0, 3, 6, 9], "fortran": [[1.0, 0.0], [0.0, 1.0]],
        "object": [1, "two", None, [3]], "strings": ["a", "b"], "bools": [True, False],
        "empty": [], "zero-dimensional": 7, "float16": [0.5], "big-endian": [1],
    },
    "numpy keys": {
        "1": "int64", "s": "str", "2": "int", "0.5": "float64", "inner": {"3": 2.0},
    },
    "decimal": {"value": 1},
    "huge integer": {"value": 10**40, "beside": None},
    "plain objects": {
        "when": "2026-01-02T03:04:05", "day": "2026-01-02",
        "id": "00000000-0000-0000-0000-000000000001", "missing": None, "tuple": [1, 2],
    },
    "array module": {"value": [1, 2]},
    "null text": {"value": "a null in a text", "none": None},
}  # fmt: skip

NOT_JSON = {
    "NaN": 'ValueError: result["value"] is NaN, which JSON cannot hold',
    "infinity": 'ValueError: result["value"][1]["deep"] is -inf, which JSON cannot hold',
    "numpy NaN": 'ValueError: result["value"][1] is NaN, which JSON cannot hold',
    "numpy scalar NaN": 'ValueError: result["value"] is NaN, which JSON cannot hold',
    "bytes": 'TypeError: result["value"] is bytes, which JSON cannot hold; decode a text',
    "set": 'TypeError: result["value"] is a set, which JSON cannot hold; make it a list',
    "complex": 'TypeError: result["value"] is a complex, which JSON cannot hold',
    "object": 'TypeError: result["value"] is a Point, which is not JSON-serializable',
    "class": 'TypeError: result["value"] is the class ndarray, which is not JSON-serializable',
    "tuple key": "TypeError: result has the key (1, 2), a tuple, which JSON cannot hold; use a str",
    "itself": "ValueError: the result is nested too deeply",
    "a list": "TypeError: predict must return a dict, not list",
    "None": "TypeError: predict must return a dict, not NoneType",
    "a number": "TypeError: predict must return a dict, not int",
    "an array": "TypeError: predict must return a dict, not ndarray",
    "a generator": "TypeError: predict must return a dict, not generator",
}

RAISED = {
    "NameError": "NameError: name 'np' is not defined",
    "no arguments": "RuntimeError",
    "two arguments": "FileNotFoundError: 2, No such file",
    "odd arguments": "ValueError: <class 'app.logic.pipeline.Point'>, {1: 2}, ?, b'x'",
    "huge argument": "ValueError: <int without a text>",
    "unprintable": "Unprintable: an argument",
    "unprintable argument": "ValueError: <Unprintable without a text>",
    "sys.exit": "SystemExit: predict leaves",
    "KeyboardInterrupt": "KeyboardInterrupt: pressed",
    "Stop": "Stop: stopped",
    "MemoryError": "MemoryError",
    "recursion": "RecursionError: maximum recursion depth exceeded",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_result_becomes_plain_json(lab: Deployment, name: str) -> None:
    answer = lab.predict({"do": name})
    assert answer.status_code == 200, answer.text
    # Compared as text: to Python, 1 == 1.0 == True.
    assert json.dumps(json.loads(answer.content)) == json.dumps(GOOD[name])


@pytest.mark.parametrize("name", GOOD)
def test_status_and_the_sync_answer_hold_the_same_bytes(lab: Deployment, name: str) -> None:
    answer = lab.predict({"do": name})
    status = lab.status(answer.headers["Denzel-Task-Id"])
    assert status == {"status": "SUCCESS", "result": json.loads(answer.content)}


@pytest.mark.parametrize(("name", "description"), {**NOT_JSON, **RAISED}.items())
def test_what_cannot_be_answered_fails_with_type_and_message(
    lab: Deployment, name: str, description: str
) -> None:
    answer = lab.predict({"do": name})
    assert answer.status_code == 500
    assert answer.json()["title"] == "Prediction failed"
    assert answer.json()["description"].startswith(description)
    status = lab.status(answer.headers["Denzel-Task-Id"])
    assert status["status"] == "FAILURE"
    assert status["result"]["type"] == description.split(":")[0]


def test_the_worker_process_outlives_every_failure(lab: Deployment) -> None:
    """All but those that end it; the next request is answered by the processes of before."""
    before = processes(lab).keys()
    for name in {**NOT_JSON, **RAISED}:
        lab.predict({"do": name})
    assert processes(lab).keys() == before


def test_a_lone_surrogate_can_be_answered(lab: Deployment) -> None:
    assert lab.predict({"do": "surrogate"}).content == b'{"value":"\\ud83d"}'


def test_a_failures_arguments_keep_their_types(lab: Deployment) -> None:
    status = lab.final_status(lab.accept({"do": "two arguments"}))
    assert status["result"]["args"] == [2, "No such file"]
