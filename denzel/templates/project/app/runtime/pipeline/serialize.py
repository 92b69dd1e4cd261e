"""Turn what predict returns into JSON, or say plainly why it cannot be done."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def dump_result(result: Any) -> bytes:
    """Return predict's result as JSON.

    NumPy scalars become numbers, arrays lists (any object with ``tolist`` does), at any depth.
    Raises TypeError when the result is no dict or holds something JSON has no form for,
    ValueError when it holds NaN or an infinity.
    """
    if not isinstance(result, dict):
        raise TypeError(f"predict must return a dict, not {type(result).__name__}")
    return dump(result)


def dump(value: Any) -> bytes:
    """Return any value as JSON, by the same rules as :func:`dump_result`."""
    try:
        text = orjson.dumps(value, default=_to_plain, option=_OPTIONS)
    except (TypeError, ValueError):
        return _dump_slowly(value)
    if b"null" in text:
        _dump_slowly(value)  # orjson writes NaN as null without a word; this raises
    return text


def _dump_slowly(value: Any) -> bytes:
    """Use the standard library: exact about NaN, free of orjson's 64-bit and key limits."""
    try:
        plain = _plain_keys(value)
        text = json.dumps(plain, default=_to_plain_slowly, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        if "circular" in str(error).lower():
            raise ValueError("the result contains itself") from error
        raise ValueError("the result holds NaN or an infinity, which JSON has no form for") from (
            error
        )
    except RecursionError as error:
        raise ValueError("the result is nested too deeply") from error
    return text.encode()


def _to_plain(value: Any) -> Any:
    """Convert what JSON does not know: anything array-like turns into lists and numbers."""
    to_list = getattr(value, "tolist", None)
    if to_list is None or isinstance(value, type):
        raise TypeError(f"{type(value).__name__} is not JSON serializable")
    return _plain_keys(to_list())


def _to_plain_slowly(value: Any) -> Any:
    """Convert what the standard library does not know, orjson's dates and the like included."""
    if hasattr(value, "tolist"):
        return _to_plain(value)
    try:
        return orjson.loads(orjson.dumps(value, default=_to_plain, option=_OPTIONS))
    except orjson.JSONEncodeError as error:
        raise TypeError(f"{type(value).__name__} is not JSON serializable") from error


def _plain_keys(value: Any) -> Any:
    """Copy ``value`` with every dict key a str, int, float, bool or None."""
    if isinstance(value, dict):
        return {_plain_key(key): _plain_keys(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_keys(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _plain_key(key: Any) -> Any:
    return key.item() if hasattr(key, "item") and not isinstance(key, str) else key
