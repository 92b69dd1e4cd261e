"""Read ``multipart/form-data`` (RFC 7578), with Falcon's parser."""

from __future__ import annotations

import io
from typing import Any

import falcon
from falcon.media.multipart import BodyPart, MultipartFormHandler, MultipartParseOptions
from falcon.util.mediatypes import parse_header

from app.runtime.api.errors import BadInput
from app.runtime.pipeline.raw_requests import File

MAX_PARTS = 1000


def read_form(content_type: str, body: bytes) -> dict[str, Any]:
    """Return a form's fields by name: a text as a str, a file as a File; repeated ones as a list.

    Raises BadInput for what is no form, or has more than MAX_PARTS fields.
    """
    options = MultipartParseOptions()
    options.max_body_part_count = MAX_PARTS
    options.max_body_part_buffer_size = len(body)
    fields: dict[str, list[Any]] = {}
    try:
        form = MultipartFormHandler(options).deserialize(io.BytesIO(body), content_type, len(body))
        for part in form:
            name, value = _field(part)
            fields.setdefault(name, []).append(value)
    except falcon.HTTPError as error:  # MultipartParseError is one
        raise BadInput(f"The form cannot be read: {error.description or error.title}") from error
    except UnicodeError as error:
        raise BadInput("The form cannot be read: the head of a part is not UTF-8") from error
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def without_boundary(content_type: str, body: bytes) -> bytes:
    """Return a form without its boundary, which clients choose anew each time they send it."""
    boundary = parse_header(content_type)[1].get("boundary", "")
    return body.replace(boundary.rstrip().encode(), b"") if boundary else body


def _field(part: BodyPart) -> tuple[str, Any]:
    if not part.name:
        raise BadInput("The form cannot be read: a part has no name")
    if part.filename is None and (text := part.get_text()) is not None:
        return part.name, text
    return part.name, File(part.get_data(), part.filename or "", part.content_type)
