"""Turn a value of any kind into what JSON has: dict, list, str, int, float, bool, None.

``conversions.py`` knows the types; here is the walk through lists and dicts, and the path for what
goes wrong.
"""

from __future__ import annotations

import decimal
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from app.runtime.pipeline.conversions import NotSerializable, phrase, simplify

MAX_DEPTH = 1000
"""How deep lists and dicts may be nested; what is deeper is taken to contain itself."""
_MAX_CONVERSIONS = 20
_FRAGMENT_DEPTH = 200  # orjson writes 254 levels at once


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


def to_plain(value: Any, convert: Callable[[Any], Any] = simplify) -> Any:
    """Return a copy of ``value`` that orjson writes without further options.

    ``convert`` returns something simpler for a type that JSON has not, or raises NotSerializable.
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
        value = _shaped(value, path, convert)
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


# -------- One value after the other --------


def _shaped(value: Any, path: Path, convert: Callable[[Any], Any]) -> Any:
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
            value = convert(value)
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
