"""A request's body, from its bytes to a JSON object."""

from __future__ import annotations

import pytest

from app.runtime.api.errors import MalformedJson
from app.runtime.api.request_body import parse_body


def test_one_byte_order_mark_is_skipped_and_no_more() -> None:
    assert parse_body(b"\xef\xbb\xbf" + b'{"a": 1}', 100) == {"a": 1}
    with pytest.raises(MalformedJson):
        parse_body(b"\xef\xbb\xbf" * 2 + b"{}", 100)


def test_a_byte_order_mark_alone_is_no_body() -> None:
    with pytest.raises(MalformedJson, match="no body"):
        parse_body(b"\xef\xbb\xbf", 100)
