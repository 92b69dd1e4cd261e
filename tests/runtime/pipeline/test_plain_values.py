"""What becomes of values of each kind, and how those that cannot be kept are named."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import re
import types
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pydantic.v1
import pytest

from app.runtime.pipeline.json_codec import dump
from app.runtime.pipeline.payloads import dump_verified, load_verified

DOCUMENT = Path(__file__).parents[3] / "docs" / "pipeline.rst"


@dataclasses.dataclass
class Flower:
    """A dataclass."""

    name: str
    petals: Any
    _note: str = "left out"


class Kind(enum.Enum):
    """An enumeration."""

    SETOSA = "setosa"


class Model(pydantic.BaseModel):
    """A model of pydantic 2."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    name: str
    when: datetime.date
    labels: list[str] = []
    values: Any = None


class OldModel(pydantic.v1.BaseModel):
    """A model of pydantic 1."""

    name: str
    when: datetime.date


class Attrs:
    """What attrs makes of a class."""

    __attrs_attrs__ = (types.SimpleNamespace(name="a"),)

    def __init__(self) -> None:
        self.a = 1


class Tensor:
    """TensorFlow's tensors have a method ``numpy`` alone."""

    def numpy(self) -> Any:
        """Return an array."""
        return np.array([1, 2])


class Broken:
    """Has a method that raises."""

    def tolist(self) -> Any:
        """Raise."""
        raise RuntimeError("on another device")


class Endless:
    """Converts to nothing simpler."""

    def tolist(self) -> Any:
        """Return itself."""
        return self


Pair = collections.namedtuple("Pair", "x y")
DAY = datetime.date(2026, 1, 2)
MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5)
ISO = "2026-01-02T03:04:05"
DATES = pd.to_datetime([ISO, None])
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})

KINDS: dict[str, tuple[Any, Any]] = {
    "decimal": (decimal.Decimal("1.5"), 1.5),
    "uuid": (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    "date": (DAY, "2026-01-02"),
    "datetime": (MOMENT, ISO),
    "datetime with zone": (MOMENT.replace(tzinfo=datetime.UTC), f"{ISO}+00:00"),
    "time": (MOMENT.time(), "03:04:05"),
    "time with zone": (MOMENT.time().replace(tzinfo=datetime.UTC), "03:04:05+00:00"),
    "timedelta": (datetime.timedelta(days=1, milliseconds=500), 86400.5),
    "enum": (Kind.SETOSA, "setosa"),
    "dataclass": (Flower("a", np.arange(2)), {"name": "a", "petals": [0, 1]}),
    "attrs": (Attrs(), {"a": 1}),
    "namedtuple": (Pair(1, 2), [1, 2]),
    "deque": (collections.deque([1, 2]), [1, 2]),
    "range": (range(2), [0, 1]),
    "counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "mapping": (types.MappingProxyType({"a": 1}), {"a": 1}),
    "pydantic": (
        Model(name="a", when=DAY, labels=["x"]),
        {"name": "a", "when": "2026-01-02", "labels": ["x"], "values": None},
    ),
    "pydantic with an array": (
        Model(name="a", when=DAY, values=np.arange(2)),
        {"name": "a", "when": "2026-01-02", "labels": [], "values": [0, 1]},
    ),
    "pydantic 1": (OldModel(name="a", when=DAY), {"name": "a", "when": "2026-01-02"}),
    "tensorflow": (Tensor(), [1, 2]),
    "float32": (np.float32(1.1), 1.1),
    "float32 array": (np.array([[1.1, 2.2]], dtype="f4").T, [[1.1], [2.2]]),
    "float16": (np.float16(1.5), 1.5),
    "longdouble": (np.array([1.5], dtype=np.longdouble), [1.5]),
    "0-d": (np.array(3.0), 3.0),
    "0-d object": (np.array(None), None),
    "big-endian": (np.array([1, 2], dtype=">i4"), [1, 2]),
    "masked": (np.ma.array([1, 2], mask=[False, True]), [1, None]),
    "structured": (
        np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "i4"), ("b", "f8")]),
        [{"a": 1, "b": 2.5}, {"a": 3, "b": 4.5}],
    ),
    "record": (np.array([(1,)], dtype=[("a", "i4")])[0], {"a": 1}),
    "datetime64": (np.datetime64("2026-01-02T03:04:05"), ISO),
    "datetime64 of a day": (np.datetime64("2026-01-02"), "2026-01-02T00:00:00"),
    "datetime64 array": (np.array([ISO, "NaT"], dtype="M8[ns]"), [ISO, None]),
    "datetime64 matrix": (np.array([[ISO], ["NaT"]], dtype="M8[s]"), [[ISO], [None]]),
    "datetime64 cube": (np.array([[["NaT"]]], dtype="M8[us]"), [[[None]]]),
    "days": (np.array(["2026-01-02", "NaT"], dtype="M8[D]"), ["2026-01-02T00:00:00", None]),
    "NaT of NumPy": (np.datetime64("NaT"), None),
    "NaT in days": (np.datetime64("NaT", "D"), None),
    "timedelta64": (np.timedelta64(1500, "ms"), 1.5),
    "timedelta64 array": (np.array([1, "NaT"], dtype="m8[s]"), [1.0, None]),
    "Timestamp": (pd.Timestamp(ISO), ISO),
    "Timestamp with zone": (pd.Timestamp(ISO, tz="Europe/Berlin"), f"{ISO}+01:00"),
    "Timedelta": (pd.Timedelta("90s"), 90.0),
    "Period": (pd.Period("2026-01"), "2026-01"),
    "NA": (pd.NA, None),
    "NaT": (pd.NaT, None),
    "Series": (pd.Series([1.5, 2.5]), [1.5, 2.5]),
    "Series of dates": (pd.Series(DATES), [ISO, None]),
    "Series of Int64": (pd.Series([1, None], dtype="Int64"), [1, None]),
    "Index": (pd.Index([1, 2]), [1, 2]),
    "Categorical": (pd.Categorical(["a", "b"]), ["a", "b"]),
    "DataFrame": (FRAME, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
    "DataFrame of dates": (pd.DataFrame({"t": DATES}), [{"t": ISO}, {"t": None}]),
    "records": (FRAME.to_dict("records"), [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
    "lists": (pd.DataFrame({"t": [pd.Timestamp(ISO)]}).to_dict("list"), {"t": [ISO]}),
    "dates as keys": ({pd.Timestamp(ISO): 1}, {ISO: 1}),
    "keys of other kinds": (
        {2.5: 0, True: 0, None: 0, np.int64(3): 0, np.float64(4.5): 0, Kind.SETOSA: 0,
         DAY: 0, decimal.Decimal("1.1"): 0, 2**70: 0, np.str_("s"): 0},
        dict.fromkeys(["true", "2.5", "null", "3", "4.5", "setosa", "2026-01-02", "1.1",
                       str(2**70), "s"], 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("beside", [{}, {"none": None}, {"big": 2**70}, {np.int64(1): 0}])
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_has_a_form_in_json(name: str, beside: dict[Any, Any]) -> None:
    """The same form on each of the ways that a value can take."""
    value, form = KINDS[name]
    found = json.loads(dump({"value": value, **beside}))
    assert found["value"] == form


def test_a_decimal_keeps_its_digits() -> None:
    assert dump({"a": decimal.Decimal("0.1000000000000000000001")}) == (
        b'{"a":0.1000000000000000000001}'
    )


REFUSED: dict[str, tuple[Any, str]] = {
    "nan": ({"rows": [0, {"b": float("nan")}]}, '["rows"][1]["b"] is NaN, which JSON cannot hold'),
    "infinity": ([1, [float("-inf")]], "[1][0] is -inf, which JSON cannot hold"),
    "nan in an array": (np.array([[0, 1], [2, np.nan]]), "[1][1] is NaN"),
    "nan in a frame": (pd.DataFrame({"a": [1], "b": [None]}, dtype=float), '[0]["b"] is NaN'),
    "nan in a model": (Model(name="a", when=DAY, values=[float("nan")]), '["values"][0] is NaN'),
    "nan as decimal": (decimal.Decimal("NaN"), " is NaN"),
    "nan as key": ({float("nan"): 1}, " has the key nan, which JSON cannot hold; use a str"),
    "tuple as key": ({(1, 2): 3}, " has the key (1, 2), a tuple, which JSON cannot hold"),
    "object": ([Endless], "[0] is the class Endless, which is not JSON-serializable"),
    "function": (re.sub, " is a function, which is not JSON-serializable"),
    "exception": (ValueError("x"), " is a ValueError, which is not JSON-serializable"),
    "set": ({1}, " is a set, which JSON cannot hold; make it a list with sorted("),
    "view": ({"a": 1}.keys(), " is a dict_keys, which JSON cannot hold; make it a list"),
    "bytes": (b"x", " is bytes, which JSON cannot hold; decode a text with .decode()"),
    "generator": (
        (each for each in [0]),
        " is a generator, which JSON cannot hold; make it a list",
    ),
    "map": (map(str, [1]), " is a map, which JSON cannot hold; make it a list with list("),
    "complex": (np.array([1j]), "[0] is a complex, which JSON cannot hold; return its .real"),
    "broken": (Broken(), " is a Broken, which cannot be read: RuntimeError: on another device"),
    "endless": (Endless(), " is an Endless, which is not JSON-serializable"),
    "too many digits": (10**5000, " is an integer of too many digits"),
    "far date": (np.datetime64(2**60, "s"), " is a date in the year 36534"),
    "columns": (pd.DataFrame([[1, 2]], columns=["a", "a"]), " is a DataFrame with two columns of"),
}


@pytest.mark.parametrize("beside", [{}, {"none": None}, {"big": 2**70}])
@pytest.mark.parametrize("name", REFUSED)
def test_what_json_cannot_hold_is_named_with_its_path(name: str, beside: dict[str, Any]) -> None:
    value, message = REFUSED[name]
    with pytest.raises((TypeError, ValueError)) as raised:
        dump({**beside, "value": value})
    assert str(raised.value).startswith(f'result["value"]{message}')


def test_the_first_fault_is_the_one_that_is_named() -> None:
    with pytest.raises(TypeError, match=r'^result\["a"\]\[1\] is a set'):
        dump({"a": [1, {2}, {3}], "b": object()})


def documented() -> list[tuple[str, str]]:
    """Return the rows of the table in docs/pipeline.rst: what is returned, what process gets."""
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text[text.index(".. _pipeline_types:") :]
    return re.findall(r"^   \* - .+\n     - ``(.+)``\n     - ``(.+)``$", section, re.MULTILINE)


@pytest.mark.parametrize(("returned", "got"), documented())
def test_process_gets_what_the_documentation_says(returned: str, got: str) -> None:
    names = {
        "Decimal": decimal.Decimal, "UUID": uuid.UUID, "date": datetime.date,
        "datetime": datetime.datetime, "timedelta": datetime.timedelta, "np": np, "pd": pd,
        "Flower": Flower, "Kind": Kind, "Order": Model, "df": FRAME,
    }  # fmt: skip
    found = load_verified(dump_verified(eval(returned, names)))
    expected = eval(got, names)
    assert found == expected
    assert type(found) is type(expected)


def test_the_documentation_has_its_rows() -> None:
    assert len(documented()) >= 15
