"""What verify_input returned, on its way to the worker: JSON, and beside it any bytes there are.

Most payloads are JSON and nothing else.  One that holds ``bytes`` begins with a NUL, which JSON
never does: NUL, a JSON line ``[MARK, [length, …]]``, the JSON, then the bytes themselves.  In the
JSON a text stands for each of them: MARK, which is random, and the bytes' number.
"""

from __future__ import annotations

import os
from typing import Any

import orjson

from app.runtime.contract import BINARY
from app.runtime.pipeline.conversions import simplify
from app.runtime.pipeline.json_codec import dump, loads
from app.runtime.pipeline.plain_values import to_plain

MARK_BYTES = 12
BYTES = (bytes, bytearray, memoryview)


def dump_verified(value: Any) -> bytes:
    """Return what verify_input returned as it travels to the worker.

    Raises as :func:`~app.runtime.pipeline.json_codec.dump` does, and TypeError for None.
    """
    if value is None:
        raise TypeError("verify_input returned None: does it end with `return json_data`?")
    try:
        return dump(value)
    except TypeError:
        attachments = Attachments()
        encoded = orjson.dumps(to_plain(value, attachments.convert))
        if not attachments.found:
            raise
        return attachments.framed(encoded)


def load_verified(payload: bytes | str) -> Any:
    """Return what process gets; raises ValueError for what is no payload."""
    if isinstance(payload, bytes) and payload.startswith(BINARY):
        return _load_binary(payload)
    return loads(payload)


def shown(payload: bytes, size: int) -> str:
    """Return the first ``size`` characters of a payload's JSON, for people to read."""
    if payload.startswith(BINARY):
        payload = payload[payload.index(b"\n") + 1 :]
    return payload[:size].decode(errors="ignore")


class Attachments:
    """The bytes that were found in a value."""

    def __init__(self) -> None:
        self.found: list[bytes] = []
        self._mark = os.urandom(MARK_BYTES).hex()

    def convert(self, value: Any) -> Any:
        """Return something simpler in place of ``value``: for bytes, the text that marks them."""
        if isinstance(value, BYTES):
            self.found.append(bytes(value))
            return f"{self._mark}{len(self.found) - 1}"
        return simplify(value)

    def framed(self, encoded: bytes) -> bytes:
        """Return a payload of the JSON and the bytes that were found for it."""
        lengths = [len(encoded), *map(len, self.found)]
        head = BINARY + orjson.dumps([self._mark, lengths]) + b"\n"
        return b"".join([head, encoded, *self.found])


def _load_binary(payload: bytes) -> Any:
    start = payload.index(b"\n") + 1
    mark, lengths = orjson.loads(payload[1:start])
    view = memoryview(payload)
    parts = []
    for length in lengths:
        parts.append(view[start : start + length].tobytes())
        start += length
    encoded, *found = parts
    holder = [loads(encoded)]
    pending: list[Any] = [holder]
    while pending:  # without recursion, which Python limits
        container = pending.pop()
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for key, item in items:
            if isinstance(item, (dict, list)):
                pending.append(item)
            elif isinstance(item, str) and item.startswith(mark):
                container[key] = found[int(item.removeprefix(mark))]
    return holder[0]
