"""What verify_input returned, on its way to process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.runtime.contract import BINARY
from app.runtime.pipeline.payloads import dump_verified, load_verified, shown
from app.runtime.pipeline.raw_requests import File

NOISE = bytes(range(256))


def test_without_bytes_it_is_json() -> None:
    assert dump_verified({"a": [1, None]}) == b'{"a":[1,null]}'
    with pytest.raises(TypeError, match="verify_input returned None"):
        dump_verified(None)


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (NOISE, NOISE),
        ({"image": NOISE}, {"image": NOISE}),
        ({"a": [b"", {"b": b"\n"}], "big": 2**70}, {"a": [b"", {"b": b"\n"}], "big": 2**70}),
        ({1: (bytearray(b"x"), memoryview(b"y"))}, {"1": [b"x", b"y"]}),
        ({"file": File(NOISE, "a.png", "image/png")}, {"file": NOISE}),
        ({"a": np.array([b"ab", b"c"]), "x": np.float32(0.5)}, {"a": [b"ab", b"c"], "x": 0.5}),
    ],
)  # fmt: skip
def test_bytes_arrive_as_they_are(value: Any, arrives: Any) -> None:
    payload = dump_verified(value)
    assert payload.startswith(BINARY)
    found = load_verified(payload)
    assert found == arrives
    assert type(found) is type(arrives)


def test_a_deep_value_is_no_matter() -> None:
    value: Any = b"x"
    for _ in range(900):
        value = [value]
    assert load_verified(dump_verified(value)) == value


def test_what_else_json_cannot_hold_is_named() -> None:
    with pytest.raises(TypeError, match=r'result\["b"\] is a set'):
        dump_verified({"a": b"x", "b": {1}})
    with pytest.raises(ValueError, match=r'result\["b"\] is NaN'):
        dump_verified({"a": b"x", "b": float("nan")})


def test_people_are_shown_the_json() -> None:
    assert shown(dump_verified({"a": 1}), 5) == '{"a":'
    text = shown(dump_verified({"kind": "cat", "image": NOISE}), 14)
    assert text == '{"kind":"cat",'
