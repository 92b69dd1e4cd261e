"""Turn a value of any library's type into a simpler one, step by step.

Libraries are recognised by what their objects look like; none is imported.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set, ValuesView
from typing import Any

import orjson


class NotSerializable(TypeError):
    """A value of a type that JSON cannot hold; the message goes on after "X is …"."""


def simplify(value: Any) -> Any:
    """Return something simpler in place of ``value``, perhaps not plain yet itself.

    Raises NotSerializable when there is nothing simpler.
    """
    if isinstance(value, float):
        return float(value)  # NumPy's float64
    fragment = _numpy_number(value)
    if fragment is not None:
        return fragment
    if not isinstance(value, type):
        for form in (_convert_pandas, _convert_scalar, _convert_record, _convert_sequence):
            simpler = form(value)
            if simpler is not value:
                return simpler
    raise NotSerializable(phrase(value) + _remedy(value))


def is_record(value: Any) -> bool:
    """Tell whether ``value`` has named fields, and so becomes a JSON object."""
    return not isinstance(value, type) and (
        isinstance(value, Mapping)
        or dataclasses.is_dataclass(value)
        or hasattr(value, "__attrs_attrs__")
        or _is_pydantic(value)
    )


def phrase(value: Any) -> str:
    """Return what ``value`` is, with an article: ``a Point``, ``the class Point``."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    if name in ("bytes", "coroutine", "generator", "set"):
        return "bytes" if name == "bytes" else f"a {name}"
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _convert_scalar(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, decimal.Decimal):
        # A number in its own digits; a float would change them.
        return orjson.Fragment(str(value).encode()) if value.is_finite() else float(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    for plain in (float, int, str):
        if isinstance(value, plain):
            return plain(value)
    return value


def _convert_record(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value):
        names = (field.name for field in dataclasses.fields(value))
        # As orjson has it, which leaves out private fields.
        return {name: getattr(value, name) for name in names if not name.startswith("_")}
    if hasattr(value, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in value.__attrs_attrs__}
    if _is_pydantic(value):
        if not hasattr(value, "model_dump"):  # version 1
            return value.dict()
        return value.model_dump()  # mode="json" would turn NaN into None without a word
    return value


def _is_pydantic(value: Any) -> bool:
    kind = type(value)
    if hasattr(kind, "model_dump"):  # version 2, which warns of __fields__
        return hasattr(kind, "model_fields")
    return hasattr(kind, "__fields__") and hasattr(kind, "parse_obj")


def _convert_sequence(value: Any) -> Any:
    dtype = getattr(value, "dtype", None)
    kind = getattr(dtype, "kind", "")
    if kind in ("M", "m", "V") and hasattr(value, "astype"):
        return _convert_numpy(value, dtype)
    if kind == "f" and value.ndim == 0:
        return float(value)  # of a longdouble, tolist makes another longdouble
    for method in ("tolist", "to_dicts", "to_list", "numpy"):  # arrays, polars, TensorFlow
        if callable(getattr(value, method, None)):
            return getattr(value, method)()
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    return value


def _convert_numpy(value: Any, dtype: Any) -> Any:
    """Convert NumPy's dates, durations and records, whose ``tolist`` loses what they are."""
    if value.ndim:
        return list(value)
    if type(value).__name__ == "ndarray":
        return value[()]
    if dtype.kind == "V":
        names = dtype.names
        return {name: value[name] for name in names} if names else value.item()
    if value != value:  # NaT
        return None
    if dtype.kind == "M":
        year = value.astype("M8[Y]").astype("int64").item() + 1970
        if not datetime.MINYEAR <= year <= datetime.MAXYEAR:
            raise NotSerializable(f"a date in the year {year}, which ISO 8601 does not write")
        return value.astype("M8[us]").item()
    return value.astype("m8[ns]").astype("int64").item() / 1e9


def _numpy_number(value: Any) -> orjson.Fragment | None:
    """Return NumPy's numbers as orjson writes them: with the digits that their type has."""
    if getattr(getattr(value, "dtype", None), "kind", "") not in ("f", "i", "u", "b"):
        return None
    try:
        text = orjson.dumps(value, default=_contiguous, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        return None
    return None if b"null" in text else orjson.Fragment(text)


def _contiguous(value: Any) -> Any:
    """Return an array in C's order, which is the one orjson knows."""
    if type(value).__name__ != "ndarray" or value.flags.c_contiguous:
        raise TypeError
    return value.copy()


def _convert_pandas(value: Any) -> Any:
    kind = type(value)
    if all(each.__module__.partition(".")[0] != "pandas" for each in kind.__mro__):
        return value
    if kind.__name__ in ("NaTType", "NAType"):
        return None
    if kind.__name__ in ("Period", "Interval"):
        return str(value)
    if callable(getattr(value, "to_dict", None)) and hasattr(value, "columns"):
        if not value.columns.is_unique:
            raise NotSerializable("a DataFrame with two columns of the same name")
        return value.to_dict("records")
    return value


def _remedy(value: Any) -> str:
    """Return how the sentence about an unserializable value goes on."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return (
            ", which JSON cannot hold; decode a text with .decode(), anything else with "
            "base64.b64encode(…).decode()"
        )
    if isinstance(value, (Set, ValuesView)):
        return ", which JSON cannot hold; make it a list with sorted(…) or list(…)"
    if type(value).__name__ == "coroutine":
        return ", which nothing awaits; call a function that is no `async def`"
    if isinstance(value, Iterator):
        return ", which JSON cannot hold; make it a list with list(…)"
    if isinstance(value, complex):
        return ", which JSON cannot hold; return its .real and .imag"
    return ", which is not JSON-serializable"
