"""Read a request's body: its size, its JSON or its form, where its callback may go."""

from __future__ import annotations

import asyncio
from typing import Any

import falcon.asgi

from app.runtime.api.content_encoding import check_encoding, unpack
from app.runtime.api.errors import BadInput, BodyTooLarge, MalformedJson
from app.runtime.api.forms import read_form, without_boundary
from app.runtime.callbacks.addresses import AddressPolicy
from app.runtime.callbacks.uri import ForbiddenDestination
from app.runtime.pipeline.json_codec import InvalidJson, NotAnObject, parse_json_request
from app.runtime.pipeline.raw_requests import FORM, RawRequest, raw_type
from app.runtime.pipeline.schemas import DENZELS_OWN

PARSE_IN_THREAD_BYTES = 2**20
"""A larger form does not hold up the event loop."""


async def read_body(req: falcon.asgi.Request, limit: int) -> bytes:
    """Return the request's body, unpacked.

    Raises BodyTooLarge past ``limit`` bytes, packed or not, UnknownEncoding, and MalformedJson.
    """
    encoding = check_encoding(req.get_header("Content-Encoding"))
    body = await _receive(req, limit)
    if not encoding or not body:
        return body
    return await asyncio.to_thread(unpack, body, encoding, limit)


async def _receive(req: falcon.asgi.Request, limit: int) -> bytes:
    declared = req.content_length
    if declared is not None and declared <= limit:
        return bytes(await req.stream.read())
    chunks = []
    size = declared or 0
    if declared is None:  # sent in chunks, of a length that only shows as they come
        async for chunk in req.stream:
            size += len(chunk)
            if size > limit:
                break
            chunks.append(chunk)
    if size > limit:
        raise BodyTooLarge(f"A request may have {limit} bytes at most")
    return b"".join(chunks)


def parse_body(body: bytes, max_depth: int, req: falcon.asgi.Request | None = None) -> Any:
    """Return the JSON object in a request's body; raises MalformedJson or BadInput.

    ``req`` is asked what it says the body is, where that turns out to be no JSON.
    """
    try:
        return parse_json_request(body, max_depth)
    except NotAnObject as error:
        raise BadInput(str(error)) from error
    except InvalidJson as error:
        declared = raw_type(req.content_type) if req else ""
        hint = f". It came as {declared}, but this model takes JSON alone" if declared else ""
        raise MalformedJson(f"{error}{hint}") from error


async def parse_raw_body(body: bytes, content_type: str, req: falcon.asgi.Request) -> RawRequest:
    """Return a body that is no JSON as the pipeline's parse_request gets it; raises BadInput."""
    if not content_type.startswith(FORM):
        return RawRequest(content_type, body)
    if len(body) > PARSE_IN_THREAD_BYTES:
        return RawRequest(content_type, await asyncio.to_thread(read_form, content_type, body))
    return RawRequest(content_type, read_form(content_type, body))


def raw_callback_uri(request: RawRequest, req: falcon.asgi.Request) -> Any:
    """Return the ``callback_uri`` in a form's field or in the query."""
    uri = req.get_param(DENZELS_OWN)
    return request.body.get(DENZELS_OWN, uri) if isinstance(request.body, dict) else uri


def idempotent_body(request: RawRequest, body: bytes, req: falcon.asgi.Request) -> bytes:
    """Return what of a request that is no JSON is the same when a client sends it again."""
    content_type = request.content_type
    if content_type.startswith(FORM):
        content_type, body = FORM, without_boundary(content_type, body)
    callback_uri = req.get_param(DENZELS_OWN, default="")
    return b"%b\n%b\n%b" % (content_type.encode(), callback_uri.encode(), body)


def check_callback_uri(uri: Any, policy: AddressPolicy) -> str | None:
    """Return where a callback goes; raises BadInput when it may not."""
    if uri is None:
        return None
    try:
        policy.check_uri(uri)
    except ForbiddenDestination as error:
        raise BadInput(f"callback_uri: {error}") from error
    return str(uri)
