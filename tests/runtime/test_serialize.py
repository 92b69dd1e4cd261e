"""predict's result as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.pipeline.serialize import dump, dump_result


@dataclasses.dataclass
class Flower:
    """Something orjson writes by itself."""

    name: str
    petals: Any


class Kind(enum.Enum):
    """Likewise."""

    SETOSA = "setosa"


class Tensor:
    """Array-like without being an array."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def tolist(self) -> Any:
        """Return plain lists."""
        return self.value


KEYS = st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none()
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_plain_values_are_written_as_the_standard_library_does(value: dict[str, Any]) -> None:
    """Integers of any size and lone surrogates included."""
    assert json.loads(dump_result(value)) == json.loads(json.dumps(value))


@given(st.recursive(
    st.floats(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=8,
))  # fmt: skip
def test_a_value_that_is_not_finite_is_never_written(value: Any) -> None:
    """Wherever it hides, beside nulls and texts that say null."""

    def finite(value: Any) -> bool:
        if isinstance(value, float):
            return math.isfinite(value)
        inner = value.values() if isinstance(value, dict) else value
        return all(finite(each) for each in inner)

    result = {"value": value, "null": None, "text": "null"}
    if finite(value):
        assert json.loads(dump_result(result)) == result
    else:
        with pytest.raises(ValueError, match="NaN"):
            dump_result(result)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numpys_values_that_are_not_finite_are_refused(kind: type, value: float) -> None:
    for hidden in (
        kind(value),
        np.array([1.0, value], dtype=kind),
        np.array([[1.0, value]], dtype=kind).T,
        np.array([{"deep": kind(value)}], dtype=object),
        [Tensor([value])],
        {np.int64(1): {"deeper": kind(value)}},
    ):
        with pytest.raises(ValueError, match="NaN"):
            dump({"value": hidden})


def test_kinds_that_orjson_writes_are_written_beside_whatever_it_does_not_like() -> None:
    """A null, an integer above 64 bits or a NumPy key takes the slow way through."""
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    value = {"when": moment, "id": uuid.UUID(int=1), "kind": Kind.SETOSA, "flower": Flower("a", 1)}
    plain = {
        "when": "2026-01-02T03:04:05+00:00", "id": str(uuid.UUID(int=1)), "kind": "setosa",
        "flower": {"name": "a", "petals": 1},
    }  # fmt: skip
    beside: dict[Any, Any]
    for beside in ({}, {"none": None}, {"big": 2**64}, {np.int64(1): 1}, {"lone": "\ud800"}):
        assert json.loads(dump({**value, **beside})) == {
            **plain,
            **{str(key): item for key, item in beside.items()},
        }


@pytest.mark.parametrize("value", [b"x", {1}, 1j, object(), Kind, np.ndarray, lambda: 0, range(2)])
@pytest.mark.parametrize("beside", [{}, {"none": None}, {"big": 2**64}])
def test_what_has_no_form_in_json_is_refused_by_name(value: Any, beside: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"{type(value).__name__} is not JSON serializable"):
        dump({"value": [value], **beside})


def test_the_text_is_utf_8_and_compact() -> None:
    assert dump({"é": [1, None], "b": {"c": 1.5}}) == '{"é":[1,null],"b":{"c":1.5}}'.encode()


def test_deep_and_circular_results_are_refused() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        dump({"value": deep})
    circular: dict[str, Any] = {}
    circular["list"] = [circular]
    with pytest.raises(ValueError, match=r"nested too deeply|contains itself"):
        dump(circular)
    # Freed level by level, lest freeing it recurse instead.
    while isinstance(deep, list):
        deep = deep.pop()


@pytest.mark.parametrize("result", [[], None, 1, "text", np.zeros(2), ({},), b"{}"])
def test_a_result_must_be_a_dict(result: Any) -> None:
    with pytest.raises(TypeError, match=f"must return a dict, not {type(result).__name__}"):
        dump_result(result)


def test_the_tutorials_result_is_a_dict_of_numpys_strings() -> None:
    predictions = np.array(["Iris-setosa", "Iris-virginica"], dtype=object)
    ids = {"a123": 1, "b456": 2}.keys()
    for array in (predictions, predictions.astype(str)):
        expected = b'{"a123":"Iris-setosa","b456":"Iris-virginica"}'
        assert dump_result(dict(zip(ids, array, strict=True))) == expected
