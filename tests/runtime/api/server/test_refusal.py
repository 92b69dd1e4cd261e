"""What the server itself answers."""

from __future__ import annotations

import json

import pytest

from app.runtime.api.server.refusal import NOT_HTTP, Refusal


@pytest.mark.parametrize(
    ("refusal", "title"),
    [(NOT_HTTP, "Bad Request"), (Refusal(413, "Too much", "Body too large"), "Body too large")],
)
def test_a_refusal_has_the_form_of_all_errors_and_ends_the_connection(
    refusal: Refusal, title: str
) -> None:
    head, _, body = refusal.encode().partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith(f"HTTP/1.1 {refusal.status} ")
    assert f"content-length: {len(body)}" in lines
    assert "connection: close" in lines
    assert json.loads(body) == {"title": title, "description": refusal.description}
