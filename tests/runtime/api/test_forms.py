"""Forms: multipart/form-data."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from app.runtime.api.errors import BadInput
from app.runtime.api.forms import MAX_PARTS, read_form, without_boundary
from app.runtime.pipeline.raw_requests import File, raw_type

NOISE = bytes(range(256)) * 5000


def encoded(*parts: tuple[str, Any]) -> tuple[str, bytes]:
    """Return a form's content type and body, as a client makes them."""
    prepared = requests.Request("POST", "http://localhost", files=parts).prepare()
    assert isinstance(prepared.body, bytes)
    return prepared.headers["Content-Type"], prepared.body


def test_texts_are_texts_and_files_are_bytes() -> None:
    form = read_form(
        *encoded(
            ("size", (None, "64")),
            ("größe", (None, "ä".encode())),
            ("image", ("cat.png", NOISE, "image/png")),
            ("empty", ("nothing", b"")),
            ("meta", (None, '{"a": 1}', "application/json")),
        )
    )
    assert form == {
        "size": "64", "größe": "ä", "image": NOISE, "empty": b"", "meta": b'{"a": 1}'
    }  # fmt: skip
    image = form["image"]
    assert isinstance(image, File)
    assert (image.filename, image.content_type) == ("cat.png", "image/png")


def test_what_comes_several_times_is_a_list() -> None:
    form = read_form(*encoded(("a", (None, "1")), ("a", ("f", b"2")), ("b", (None, "3"))))
    assert form == {"a": ["1", b"2"], "b": "3"}


def test_a_form_has_so_many_parts() -> None:
    parts = [("a", (None, "1"))] * MAX_PARTS
    assert len(read_form(*encoded(*parts))["a"]) == MAX_PARTS
    with pytest.raises(BadInput, match="maximum number of form body parts exceeded"):
        read_form(*encoded(*parts, ("a", (None, "1"))))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=", b""),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n1"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n1\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n1\r\n--x--\r\n',
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--x--\r\n',
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n'
            b"Content-Type: \xff\r\n\r\n1\r\n--x--",
        ),
        (
            "multipart/form-data; boundary=\u20ac",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
        ),
    ],
)
def test_what_is_no_form_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(BadInput, match=r"The form cannot be read: \w"):
        read_form(content_type, body)


def test_the_same_form_sent_again_is_the_same() -> None:
    parts = ("a", (None, "1")), ("image", ("cat.png", NOISE))
    first, second = encoded(*parts), encoded(*parts)
    assert first != second
    assert without_boundary(*first) == without_boundary(*second)
    assert without_boundary(*first) != without_boundary(*encoded(("a", (None, "2")), parts[1]))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, ""), ("", ""), ("application/json", ""), ("Application/JSON; charset=utf-8", ""),
        ("application/geo+json", ""), ("text/json", ""), ("application/x-www-form-urlencoded", ""),
        ("IMAGE/JPEG", "image/jpeg"), ("application/x-ndjson", "application/x-ndjson"),
        ("Multipart/Form-Data; boundary=Ab", "multipart/form-data; boundary=Ab"),
    ],
)  # fmt: skip
def test_json_is_told_from_all_else(header: str | None, found: str) -> None:
    assert raw_type(header) == found
