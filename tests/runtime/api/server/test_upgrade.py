"""Offers of another protocol."""

from __future__ import annotations

from app.runtime.api.server.upgrade import without_offer


def test_a_head_without_its_offer_is_otherwise_the_same() -> None:
    headers = [(b"host", b"x"), (b"upgrade", b"h2c"), (b"content-length", b"2")]
    assert without_offer(b"POST", b"/predict?x=1", "1.1", headers) == (
        b"POST /predict?x=1 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
    )
