"""JSON, read and written: what is exact, what is refused, and where that stands."""

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

from app.runtime.pipeline.json_codec import (
    InvalidJson,
    NotAnObject,
    dump,
    dump_result,
    loads,
    parse_json_request,
)


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
        with pytest.raises(ValueError, match=r'^result\["value"\].* JSON cannot hold'):
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
        name = "NaN" if math.isnan(value) else str(value)
        with pytest.raises(ValueError, match=rf'^result\["value"\].* is {name}, which JSON cannot'):
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


def test_nesting_as_deep_as_a_request_may_have_comes_through() -> None:
    value: Any = 2**70
    for _ in range(450):
        value = [{"deeper": value}]
    assert parse_json_request(dump({"value": value}), 902) == {"value": value}


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


@dataclasses.dataclass
class Answer:
    """What predict may return in place of a dict."""

    label: str


def test_a_result_may_be_what_becomes_an_object() -> None:
    assert dump_result(Answer("setosa")) == b'{"label":"setosa"}'


@pytest.mark.parametrize(
    ("result", "advice"),
    [
        (None, "is its `return` missing"),
        ([1], '{"predictions": '),
        ((each for each in [0]), "write a `yield from` into predict itself"),
    ],
)
def test_a_result_of_the_wrong_kind_is_told_what_to_do(result: Any, advice: str) -> None:
    with pytest.raises(TypeError) as raised:
        dump_result(result)
    assert advice in str(raised.value)


# -------- Reading --------

SIZES = [
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
    10**400,
    -(10**4000),
]


@pytest.mark.parametrize("number", SIZES)
def test_integers_are_exact_in_both_directions(number: int) -> None:
    request = {"id": number, "deep": [{"a": [number]}], "beside": [0.5, "text", None, True]}
    body = json.dumps(request).encode()
    assert parse_json_request(body, 100) == request
    assert loads(dump(request)) == request
    assert loads(dump(request).decode()) == request
    assert type(parse_json_request(body, 100)["id"]) is int


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_what_was_written_is_read_as_it_was(value: dict[str, Any]) -> None:
    assert loads(dump(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(min_value=10**18))
def test_floats_beside_long_integers_are_what_they_are(fraction: float, number: int) -> None:
    """Integers take the slow way through, and the floats along with them."""
    found = parse_json_request(
        b'{"a":%b,"b":%b}' % (repr(fraction).encode(), str(number).encode()), 9
    )
    assert (found["a"], found["b"]) == (fraction, number)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no body"),
        (b" ", "no body"),
        (b'{"a": NaN}', "NaN is not JSON; send null, or leave it out: line 1 column 7"),
        (b'{"a": [1, Infinity]}', "Infinity is not JSON"),
        (b'{"a": -Infinity}', "Infinity is not JSON"),
        (b'{"a": 1e999}', "A number is too large for a 64-bit float: line 1 column 7"),
        (b'{"a": -1e999}', "too large"),
        (b'{"b": 12345678901234567890123, "a": 1e999}', "1e999 is too large"),
        (b'{"b": 12345678901234567890123, "a": NaN}', "NaN is not JSON"),
        (b'{"a": ' + b"1" * 4301 + b"}", "4300 digits"),
        (b'{"a": [[[[1]]]]}', "nested 4 deep"),
        (b"[" * 5000, "nested 4 deep"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": 12345678901234567890, "b": "\xff"}', "UTF-8"),
        (b'{"a": 12345678901234567890', "line 1"),
        (b'{"a": nope}', "line 1"),
    ],
)
def test_what_cannot_be_read_exactly_is_refused_and_told_why(body: bytes, message: str) -> None:
    with pytest.raises(InvalidJson) as raised:
        parse_json_request(body, 4)
    assert message in str(raised.value)
    assert not isinstance(raised.value, NotAnObject)


@pytest.mark.parametrize("body", [b"[1]", b"1", b'"text"', b"null", b"18446744073709551616"])
def test_a_request_is_an_object(body: bytes) -> None:
    with pytest.raises(NotAnObject, match="must be a JSON object"):
        parse_json_request(body, 100)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse_json_request(b'\xef\xbb\xbf{"a": 1}', 100) == {"a": 1}
