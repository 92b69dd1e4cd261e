"""Requests that are no JSON: files, forms, texts.  The pipeline's parse_request reads them."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

FORM = "multipart/form-data"
UNKNOWN = "application/octet-stream"
URLENCODED = "application/x-www-form-urlencoded"
"""What ``curl -d`` says of all it sends, so that such a body is taken for JSON."""

NOTHING_RETURNED = "parse_request returned None: does it end with a `return`?"

ParseRequest = Callable[[str, Any], Any]


class RawRequest(NamedTuple):
    """What parse_request is called with.

    ``body`` is bytes; of a form, a dict of its fields by name: a text is a str, a file a
    :class:`File`, what came several times a list.
    """

    content_type: str
    body: Any


class File(bytes):
    """A file of a form: its bytes, and what its sender said of it."""

    filename: str
    content_type: str

    def __new__(cls, content: bytes, filename: str, content_type: str) -> File:
        """Return a file of this content."""
        file = super().__new__(cls, content)
        file.filename = filename
        file.content_type = content_type
        return file


def raw_type(content_type: str | None) -> str:
    """Return a ``Content-Type`` whose type is in lower case; empty for that of JSON."""
    kind, semicolon, parameters = (content_type or "").partition(";")
    kind = kind.strip().lower()
    if kind in ("", URLENCODED) or kind.endswith(("/json", "+json")):
        return ""
    return kind + semicolon + parameters


def read_file(path: Path) -> RawRequest:
    """Return a file as a request; its name tells its type.  May raise OSError."""
    return RawRequest(mimetypes.guess_type(path.name)[0] or UNKNOWN, path.read_bytes())
