"""One request through the pipeline: EXAMPLE, warming up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.runtime.pipeline.loading import Pipeline, PipelineError
from app.runtime.pipeline.trial import call_verify_input, example_request, warm_up


def pipeline(**changes: Any) -> Pipeline:
    """Return a pipeline that notes nothing and predicts nothing."""
    functions = {
        "verify_input": lambda data: data,
        "load_model": lambda: None,
        "process": lambda model, data: data,
        "predict": lambda model, data: {},
    }
    return Pipeline(**{**functions, **changes})


def test_without_an_example_nothing_is_called() -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError

    warm_up(pipeline(verify_input=fail, process=fail, predict=fail), None)


def test_the_example_goes_the_whole_way_as_json() -> None:
    seen: list[Any] = []

    def predict(model: Any, data: Any) -> Any:
        seen.append((model, data))
        return {}

    warm_up(pipeline(predict=predict, example={"a": (1, 2**70)}), "model")
    assert seen == [("model", {"a": [1, 2**70]})]


def test_with_predict_batch_that_is_what_is_warmed_up() -> None:
    batches: list[Any] = []

    def predict(model: Any, data: Any) -> Any:
        raise AssertionError

    def predict_batch(model: Any, batch: list[Any]) -> Any:
        batches.append(batch)
        return [{}]

    warm_up(pipeline(predict=predict, predict_batch=predict_batch, example={"a": 1}), None)
    assert batches == [[{"a": 1}]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verify_input": lambda data: data["b"]}, "EXAMPLE fails in verify_input: KeyError: 'b'"),
        ({"verify_input": lambda data: None}, "verify_input returned None"),
        ({"process": lambda model, data: 1 / 0}, "EXAMPLE fails in process: ZeroDivisionError"),
        ({"predict": lambda model, data: {"x": {1}}}, 'result["x"] is a set'),
        ({"predict_batch": lambda model, batch: []}, "0 results for 1 request"),
        ({"predict": lambda model, data: exit(3)}, "EXAMPLE fails in predict: SystemExit: 3"),
    ],
)
def test_an_example_that_fails_is_told_with_its_step(changes: Any, message: str) -> None:
    with pytest.raises(PipelineError) as raised:
        warm_up(pipeline(**changes, example={"a": 1}), None)
    assert message in str(raised.value)


def test_an_example_may_be_a_file(tmp_path: Path) -> None:
    cat = tmp_path / "cat.jpg"
    cat.write_bytes(b"\xff\xd8")
    seen: list[Any] = []

    def predict(model: Any, data: Any) -> Any:
        seen.append(data)
        return {}

    takes = pipeline(predict=predict, parse_request=lambda *request: request, example=cat)
    warm_up(takes, None)
    assert seen == [["image/jpeg", b"\xff\xd8"]]
    assert example_request(takes) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "takes JSON alone: define parse_request"),
        ({"parse_request": lambda *request: None}, "parse_request returned None"),
        ({"parse_request": lambda *request: 1 / 0}, "fails in parse_request: ZeroDivisionError"),
        ({"example": Path("nowhere.jpg")}, "EXAMPLE cannot be read: FileNotFoundError"),
    ],
)
def test_a_file_that_is_no_example_is_told(tmp_path: Path, changes: Any, message: str) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"")
    with pytest.raises(PipelineError) as raised:
        warm_up(pipeline(**{"example": tmp_path / "cat.jpg", **changes}), None)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("example", "message"),
    [([], "must be a dict"), ("{}", "must be a dict"), ({"a": {1}}, 'EXAMPLE["a"] is a set')],
)
def test_an_example_that_is_no_request_is_told(example: Any, message: str) -> None:
    with pytest.raises(PipelineError) as raised:
        example_request(pipeline(example=example))
    assert message in str(raised.value)


def test_an_async_verify_input_is_awaited() -> None:
    async def verify(data: Any) -> Any:
        return {"verified": data}

    assert call_verify_input(pipeline(verify_input=verify), 1) == {"verified": 1}
