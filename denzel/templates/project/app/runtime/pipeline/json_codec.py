"""Read and write the pipeline's JSON exactly: requests and predict's result."""

from __future__ import annotations

import json
from typing import Any

import orjson

from app.runtime.contract import typed_body
from app.runtime.pipeline.conversions import is_record, phrase, simplify
from app.runtime.pipeline.plain_values import is_plain_and_finite, to_plain

MAX_DIGITS = 4300
"""Longest integer that Python reads or writes as text (``sys.int_info.default_max_str_digits``)."""

_LONG_INTEGER = b"0" * 19  # 2^63 has 19 digits; orjson turns what exceeds 64 bits into a float
_DIGITS_AS_ZEROS = bytes(ord("0") if chr(code).isdigit() and code < 128 else 32
                         for code in range(256))  # fmt: skip
_BOM = b"\xef\xbb\xbf"


class InvalidJson(ValueError):
    """The text is not JSON, or not JSON that can be taken; the message says where and why."""


class NotAnObject(InvalidJson):
    """The text is JSON, but no object."""


# -------- Reading --------


def parse_json_request(body: bytes, max_depth: int) -> dict[str, Any]:
    """Return the JSON object in a request's body, its integers exact.

    Raises InvalidJson, also for NaN, infinities, and lists and objects nested more than
    ``max_depth`` deep; NotAnObject for JSON of another kind.
    """
    body = body.removeprefix(_BOM)
    if not body.strip():
        raise InvalidJson("The request has no body; it must be a JSON object")
    # Nothing can be nested deeper than there are brackets, so most bodies need no walk.
    may_be_deep = has_brackets(body, max_depth)
    try:
        value = _parse(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(_explain(error, max_depth)) from error
    if may_be_deep and exceeds_depth(value, max_depth):
        raise InvalidJson(_too_deep(max_depth))
    if not isinstance(value, dict):
        raise NotAnObject('The request must be a JSON object, like {"data": …}')
    return value


def loads(text: bytes | str) -> Any:
    """Return what :func:`dump` wrote, integers exact; raises ValueError for what is not JSON."""
    encoded = text.encode() if isinstance(text, str) else text
    try:
        return _parse(encoded)
    except orjson.JSONDecodeError:
        return json.loads(encoded)  # lone surrogates, and what is nested deeper than 1024


def _parse(text: bytes) -> Any:
    # As cheap as can be told: 0.3 µs for a small text, a sixth of the parsing for a large one.
    if _LONG_INTEGER not in text.translate(_DIGITS_AS_ZEROS):
        return orjson.loads(text)
    try:
        orjson.loads(text)  # stricter than the standard library about everything else
    except orjson.JSONDecodeError as error:
        if "infinity" not in error.msg:  # which is what it says of an integer beyond 10^308, too
            raise
    return _parse_exactly(text)


def _parse_exactly(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise InvalidJson("Lists and objects are nested too deeply") from error
    except InvalidJson:
        raise
    except ValueError as error:
        if "digits" in str(error):
            raise InvalidJson(f"An integer may have {MAX_DIGITS} digits at most") from error
        raise InvalidJson(str(error)) from error


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise InvalidJson(_too_large(text if len(text) < 40 else f"{text[:37]}…"))
    return value


def _refuse(literal: str) -> Any:
    raise InvalidJson(_no_literal(literal))


def _explain(error: orjson.JSONDecodeError, max_depth: int) -> str:
    place = f"line {error.lineno} column {error.colno}"
    rest = error.doc[error.pos : error.pos + 8]
    for literal in ("NaN", "Infinity"):
        if rest.startswith(literal):
            return f"{_no_literal(literal)}: {place}"
    if "infinity" in error.msg:
        return f"{_too_large('A number')}: {place}"
    if "depth" in error.msg:
        return _too_deep(max_depth)
    return str(error)


def _no_literal(literal: str) -> str:
    return f"{literal} is not JSON; send null, or leave it out"


def _too_large(number: str) -> str:
    return f"{number} is too large for a 64-bit float"


def _too_deep(limit: int) -> str:
    return f"Lists and objects may be nested {limit} deep at most"


def has_brackets(body: bytes, limit: int) -> bool:
    """Tell whether JSON has more than ``limit`` opening brackets, those in strings included."""
    return body.count(b"{") + body.count(b"[") > limit


def exceeds_depth(value: Any, limit: int) -> bool:
    """Tell whether lists and objects are nested deeper than ``limit``."""
    level = [value]
    for _ in range(limit + 1):
        containers = [item for item in level if isinstance(item, (dict, list))]
        if not containers:
            return False
        level = [
            inner
            for item in containers
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return True


# -------- Writing --------


def dump(value: Any) -> bytes:
    """Return ``value`` as JSON; docs/pipeline.rst has the table of types.

    Raises TypeError for a type that is not JSON-serializable, and ValueError for NaN, infinities
    and what contains itself; the message gives the path, such as ``result["rows"][3]["b"]``.
    """
    try:
        # Not with OPT_SERIALIZE_NUMPY: of dates that are NaT it makes 1970, or broken JSON.
        text = orjson.dumps(value, default=simplify, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError):
        return orjson.dumps(to_plain(value))
    if b"null" in text and not is_plain_and_finite(value):
        to_plain(value)  # orjson writes NaN as null without a word; this raises
    return text


def dump_result(result: Any, content_type: str = "") -> bytes:
    """Return predict's result as an outcome's body: JSON, or bytes of the ``content_type``.

    Raises as :func:`dump` does, and TypeError for what is neither an object nor such bytes.
    """
    if not isinstance(result, dict) and not is_record(result):
        if content_type and isinstance(result, (bytes, bytearray, memoryview)):
            return typed_body(content_type, bytes(result))
        raise TypeError(f"predict must return a dict, not {_seen(result)}")
    text = dump(result)
    if text[:1] != b"{":
        raise TypeError(f"predict must return a dict, not {phrase(result)}")
    return text


def _seen(result: Any) -> str:
    name = type(result).__name__
    advice = {
        "NoneType": "is its `return` missing?",
        "coroutine": "write `def predict`, not `async def predict`",
        "bytes": 'say what they are, such as RESPONSE_CONTENT_TYPE = "image/png"',
        "generator": "write a `yield from` into predict itself to answer in pieces",
        "DataFrame": 'put it into one, such as {"rows": frame}',
        "list": 'put it into one, such as {"predictions": […]}',
        "ndarray": 'put it into one, such as {"predictions": array}',
    }.get(name)
    return f"{name}: {advice}" if advice else name
