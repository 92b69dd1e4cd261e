"""Turn a value of any kind into what JSON has: dict, list, str, int, float, bool, None.

Libraries are recognised by what their objects look like; none is imported.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set, ValuesView
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

MAX_DEPTH = 1000
"""How deep lists and dicts may be nested; what is deeper is taken to contain itself."""
_MAX_CONVERSIONS = 20
_FRAGMENT_DEPTH = 200  # orjson writes 254 levels at once


class NotSerializable(TypeError):
    """A value of a type that JSON cannot hold; the message goes on after "X is …"."""


class Path(NamedTuple):
    """Where a value stands inside the result, as a chain of keys."""

    parent: Path | None = None
    key: Any = None
    depth: int = 0

    def __str__(self) -> str:
        """Return it as Python would write it: ``result["rows"][3]``."""
        keys: list[str] = []
        path: Path = self
        while path.parent is not None:
            keys.append(f"[{_shown(path.key)}]")
            path = path.parent
        return "result" + "".join(reversed(keys))


class _Pending(NamedTuple):
    """A value that has yet to be put into ``target[slot]``."""

    value: Any
    target: Any
    slot: Any
    path: Path


def to_plain(value: Any) -> Any:
    """Return a copy of ``value`` that orjson writes without further options.

    Raises TypeError and ValueError with the path of what JSON cannot hold.  Works without
    recursion, which Python limits to about as many levels as a request may have.
    """
    holder: list[Any] = [None]
    pending = [_Pending(value, holder, 0, Path())]
    deep: list[tuple[Any, Any, Any]] = []
    while pending:
        value, target, slot, path = pending.pop()
        if path.depth > MAX_DEPTH:
            raise ValueError("the result is nested too deeply, or contains itself")
        value = _shaped(value, path)
        if isinstance(value, dict):
            value = _fill_dict(value, path, pending)
        elif isinstance(value, (list, tuple)):
            value = _fill_list(value, path, pending)
        target[slot] = value
        if path.depth and path.depth % _FRAGMENT_DEPTH == 0:
            deep.append((target, slot, value))
    for target, slot, value in reversed(deep):  # the deepest first
        target[slot] = orjson.Fragment(orjson.dumps(value))
    return holder[0]


def is_plain_and_finite(value: Any) -> bool:
    """Tell whether ``value``, which does not contain itself, is made of JSON's own types alone."""
    pending = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is float:
            if not math.isfinite(item):
                return False
        elif kind is list or kind is tuple:
            pending.extend(item)
        elif kind is dict:
            if not all(type(key) is str for key in item):
                return False
            pending.extend(item.values())
        elif item is not None and kind not in (str, int, bool):
            return False
    return True


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


# -------- One value after the other --------


def _shaped(value: Any, path: Path) -> Any:
    """Convert ``value`` until it is a dict, a list, a tuple or something final."""
    for _ in range(_MAX_CONVERSIONS):
        if value is None or isinstance(value, (dict, list, tuple)):
            return value
        kind = type(value)
        if kind is bool or kind is orjson.Fragment:
            return value
        if kind in (int, float, str):
            return _exact(value, path)
        try:
            value = simplify(value)
        except NotSerializable as error:
            raise TypeError(f"{path} is {error}") from None
        except Exception as error:  # it is a method of the user's or a library's
            reason = f"{type(error).__name__}: {error}"
            raise TypeError(f"{path} is {phrase(value)}, which cannot be read: {reason}") from error
    raise TypeError(f"{path} is {phrase(value)}, which is not JSON-serializable")


def _exact(value: Any, path: Path) -> Any:
    """Return a number or a text as it is, or written out where orjson would not write it."""
    if isinstance(value, float):
        if not math.isfinite(value):
            name = "NaN" if math.isnan(value) else str(value)
            raise ValueError(f"{path} is {name}, which JSON cannot hold; None would become null")
        return value
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return value
        try:
            return orjson.Fragment(str(value).encode())
        except ValueError as error:
            raise ValueError(f"{path} is an integer of too many digits: {error}") from error
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write as an escape
        return orjson.Fragment(json.dumps(value).encode())
    return value


def _fill_dict(value: Mapping[Any, Any], path: Path, pending: list[_Pending]) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    inner = []
    for key, item in value.items():
        name = key if type(key) is str and key.isascii() else _key(key, path)
        filled[name] = item
        if not _is_plain(item):
            inner.append(_Pending(item, filled, name, Path(path, key, path.depth + 1)))
    pending.extend(reversed(inner))  # so that the first fault is the one that is named
    if len(filled) < len(value):
        twice = Counter(_key(key, path) for key in value)
        name = twice.most_common(1)[0][0]
        raise ValueError(f"{path} has two keys that are both {_shown(name)} in JSON")
    return filled


def _fill_list(value: Sequence[Any], path: Path, pending: list[_Pending]) -> list[Any]:
    filled = list(value)
    pending.extend(
        _Pending(item, filled, index, Path(path, index, path.depth + 1))
        for index, item in reversed(list(enumerate(filled)))
        if not _is_plain(item)
    )
    return filled


def _is_plain(value: Any) -> bool:
    """Tell, for most values, whether they may stay as they are."""
    kind = type(value)
    if kind is str:
        return value.isascii()
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return -(2**63) <= value < 2**64
    return value is None or kind is bool


def _key(key: Any, path: Path) -> str:
    """Return a dict's key as the text JSON has for it."""
    simpler = key
    for _ in range(_MAX_CONVERSIONS):
        if isinstance(simpler, str):
            with suppress(UnicodeEncodeError):
                simpler.encode()
                return str(simpler)
            break
        if isinstance(simpler, (int, decimal.Decimal)) and not isinstance(simpler, bool):
            return str(simpler if isinstance(simpler, decimal.Decimal) else int(simpler))
        if _is_plain(simpler) or type(simpler) is orjson.Fragment:
            return orjson.dumps(simpler).decode()  # null, true, or a float's digits
        if isinstance(simpler, (dict, list, tuple)) or type(simpler) is float:
            break
        try:
            simpler = simplify(simpler)
        except Exception:  # noqa: BLE001 - named below
            break
    kind = "" if isinstance(key, float) else f", {phrase(key)}"
    raise TypeError(f"{path} has the key {_shown(key)}{kind}, which JSON cannot hold; use a str")


def _shown(key: Any) -> str:
    try:
        text = json.dumps(key, ensure_ascii=False) if isinstance(key, str) else repr(key)
    except Exception:  # noqa: BLE001 - the key may be of the user's own class
        return "…"
    return text if len(text) <= 60 else f"{text[:57]}…"


# -------- Kinds of values --------


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
