"""A group of requests: each gets its own outcome, and only the guilty fail."""

from __future__ import annotations

import json
import logging
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.contract import FAILURE, SUCCESS
from app.runtime.gpus.errors import GpuContextLost
from app.runtime.pipeline import run
from app.runtime.pipeline.loading import Pipeline, PipelineError, load_model
from app.runtime.pipeline.run import predict_group

Predict = Callable[[Any, Any], Any]
PredictBatch = Callable[[Any, list[Any]], Any]


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Log nothing of the failures made here by the thousand."""
    logging.getLogger("denzel.prediction").setLevel(logging.CRITICAL)


class Guilty(Exception):
    """Raised for a request that asks for it."""


class Stop(BaseException):
    """Not even an Exception."""


def process(model: Any, data: dict[str, Any]) -> dict[str, Any]:
    if data["fault"] == "process":
        raise Guilty(data["number"])
    if data["fault"] == "process leaves":
        raise SystemExit(data["number"])
    return data


def predict(model: Any, data: dict[str, Any]) -> Any:
    fault, number = data["fault"], data["number"]
    if fault == "predict":
        raise Guilty(number)
    if fault == "predict stops":
        raise Stop(number)
    if fault == "result":
        return {"number": {number}}
    if fault == "list":
        return [number]
    return {"number": number}


def predict_batch(model: Any, batch: list[dict[str, Any]]) -> list[Any]:
    """Raise for the whole batch when it holds a guilty one, as a framework would."""
    return [predict(model, data) for data in batch]


def pipeline(batch: PredictBatch | None = None, one: Predict = predict) -> Pipeline:
    return Pipeline(lambda data: data, lambda: "model", process, one, batch)


def group(faults: Sequence[str]) -> list[tuple[str, bytes]]:
    return [
        (f"id-{number}", json.dumps({"number": number, "fault": fault}).encode())
        for number, fault in enumerate(faults)
    ]


FAULTS = st.sampled_from(
    ["", "", "", "process", "process leaves", "predict", "predict stops", "result", "list"]
)


@pytest.mark.parametrize("batch", [None, predict_batch])
@given(faults=st.lists(FAULTS, max_size=20))
def test_each_request_gets_its_own_outcome_and_only_the_guilty_fail(
    batch: PredictBatch | None, faults: list[str]
) -> None:
    requests = group(faults)
    outcomes = predict_group(pipeline(batch), "model", requests)
    assert [outcome.id for outcome in outcomes] == [task_id for task_id, _ in requests]
    for number, (fault, outcome) in enumerate(zip(faults, outcomes, strict=True)):
        body = json.loads(outcome.body)
        if not fault:
            assert (outcome.state, body) == (SUCCESS, {"number": number})
        else:
            assert outcome.state == FAILURE
            kinds = {"process leaves": "SystemExit", "predict stops": "Stop"}
            unusable = fault in ("result", "list")
            assert body["type"] == ("TypeError" if unusable else kinds.get(fault, "Guilty"))
            assert unusable or body["args"] == [number]


@given(faults=st.lists(FAULTS, min_size=1, max_size=12))
def test_predict_batch_gets_all_that_were_processed_at_once_and_in_order(
    faults: list[str],
) -> None:
    batches: list[list[int]] = []

    def batch(model: Any, batch: list[dict[str, Any]]) -> list[Any]:
        assert model == "model"
        batches.append([data["number"] for data in batch])
        return [{} for _ in batch]

    predict_group(pipeline(batch), "model", group(faults))
    processed = [n for n, fault in enumerate(faults) if not fault.startswith("process")]
    assert batches == ([processed] if processed else [])


def test_a_batch_that_raises_is_tried_again_one_by_one_and_no_more() -> None:
    batches: list[int] = []

    def batch(model: Any, batch: list[dict[str, Any]]) -> list[Any]:
        batches.append(len(batch))
        return predict_batch(model, batch)

    predict_group(pipeline(batch), "model", group(["", "predict", ""]))
    assert batches == [3, 1, 1, 1]
    batches.clear()
    predict_group(pipeline(batch), "model", group(["predict"]))
    assert batches == [1]


@pytest.mark.parametrize("results", [[], [{}, {}], [{}] * 4, None, 3, {"a": 1}])
def test_a_batch_of_the_wrong_length_is_an_error_for_all(results: Any) -> None:
    """Never a mix-up."""
    outcomes = predict_group(pipeline(lambda model, batch: results), "model", group([""] * 3))
    assert [outcome.state for outcome in outcomes] == [FAILURE] * 3
    if isinstance(results, list):
        assert f"{len(results)} results for 1 request" in outcomes[0].body.decode()


def test_a_request_that_has_no_result_in_its_batch_fails_alone() -> None:
    def batch(model: Any, batch: list[dict[str, Any]]) -> list[Any]:
        return [{"number": data["number"]} for data in batch if data["number"] != 1]

    outcomes = predict_group(pipeline(batch), "model", group([""] * 3))
    assert [outcome.state for outcome in outcomes] == [SUCCESS, FAILURE, SUCCESS]
    assert json.loads(outcomes[0].body) == {"number": 0}
    assert json.loads(outcomes[2].body) == {"number": 2}


@pytest.mark.parametrize("kind", [tuple, iter])
def test_a_batch_may_be_any_sequence(kind: Callable[[Any], Any]) -> None:
    batch = lambda model, batch: kind([{"n": data["number"]} for data in batch])  # noqa: E731
    outcomes = predict_group(pipeline(batch), "model", group([""] * 3))
    assert [json.loads(outcome.body) for outcome in outcomes] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_single_request_is_a_batch_too() -> None:
    outcomes = predict_group(pipeline(lambda m, b: [{"size": len(b)}]), "model", group([""]))
    assert outcomes[0].body == b'{"size":1}'


def test_requests_do_not_share_what_process_changes() -> None:
    """Two requests with equal payloads are two objects."""

    def greedy(model: Any, data: dict[str, Any]) -> Any:
        data["number"] += 1
        return {"number": data["number"]}

    payload = b'{"number": 1, "fault": ""}'
    outcomes = predict_group(pipeline(one=greedy), "model", [("a", payload), ("b", payload)])
    assert [outcome.body for outcome in outcomes] == [b'{"number":2}'] * 2


@pytest.mark.parametrize("error", [ValueError("no file"), SystemExit("leaving")])
def test_a_load_model_that_raises_is_a_pipeline_error(error: BaseException) -> None:
    def load() -> Any:
        raise error

    broken = Pipeline(lambda data: data, load, process, predict)
    with pytest.raises(PipelineError, match=f"load_model raised {type(error).__name__}: "):
        load_model(broken)


def test_a_failure_is_logged_with_the_tasks_id_and_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def importing(model: Any, data: Any) -> Any:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    logging.getLogger("denzel.prediction").setLevel(logging.WARNING)
    predict_group(pipeline(one=importing), "model", group([""]))
    (record,) = caplog.records
    assert record.getMessage().startswith("Prediction id-0 failed. ")
    assert "scikit-learn" in record.getMessage()
    assert record.exc_info and record.exc_info[2] is not None
    assert record.exc_info[2].tb_frame.f_code.co_name == "importing"


def test_what_a_batch_raised_is_logged_though_each_alone_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def batch(model: Any, batch: list[Any]) -> list[Any]:
        if len(batch) > 1:
            raise ValueError("shapes do not match")
        return [{}]

    logging.getLogger("denzel.prediction").setLevel(logging.WARNING)
    outcomes = predict_group(pipeline(batch), "model", group(["", ""]))
    assert [outcome.state for outcome in outcomes] == [SUCCESS] * 2
    assert "each of 2 is tried alone" in caplog.text
    assert "shapes do not match" in caplog.text


class OutOfMemoryError(RuntimeError):
    """A GPU's memory is full."""


class Tensor:
    """Something large."""


@pytest.mark.parametrize("count", [1, 3])
def test_what_a_batch_had_in_memory_is_let_go_of_before_each_is_tried_alone(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    held: list[weakref.ref[Tensor]] = []
    freed: list[int] = []

    def fill(model: Any, batch: list[Any]) -> list[Any]:
        assert not any(each() for each in held)
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        if len(batch) == count:
            raise OutOfMemoryError("CUDA out of memory")
        return [{} for _ in batch]

    monkeypatch.setattr(
        run, "free_memory", lambda: freed.append(sum(each() is not None for each in held))
    )
    outcomes = predict_group(pipeline(fill), None, group([""] * count))
    assert freed == [0]
    assert [each.state for each in outcomes] == ([FAILURE] if count == 1 else [SUCCESS] * count)
    if count == 1:
        (text,) = json.loads(outcomes[0].body)["args"]
        assert text.startswith(
            "CUDA out of memory. The GPU's memory does not suffice (`nvidia-smi`"
        )


@pytest.mark.parametrize("batch", [None, predict_batch])
@pytest.mark.parametrize("place", ["process", "predict"])
def test_without_its_gpu_a_process_ends_no_request(batch: PredictBatch | None, place: str) -> None:
    calls: list[int] = []

    def lose(model: Any, data: dict[str, Any]) -> dict[str, Any]:
        calls.append(data["number"])
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    guilty = pipeline(batch)
    if place == "process":
        guilty = replace(guilty, process=lose)
    elif batch is None:
        guilty = replace(guilty, predict=lose)
    else:
        guilty = replace(guilty, predict_batch=lambda model, batch: [lose(model, batch[0])])
    with pytest.raises(GpuContextLost, match="illegal memory access"):
        predict_group(guilty, None, group(["", "", ""]))
    assert calls == [0]
