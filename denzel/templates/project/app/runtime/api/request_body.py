"""Read a request's body: its size, its JSON, where its callback may go."""

from __future__ import annotations

import asyncio
from typing import Any

import falcon.asgi

from app.runtime.api.content_encoding import check_encoding, unpack
from app.runtime.api.errors import BadInput, BodyTooLarge, MalformedJson
from app.runtime.callbacks.addresses import AddressPolicy
from app.runtime.callbacks.uri import ForbiddenDestination
from app.runtime.pipeline.json_codec import InvalidJson, NotAnObject, parse_request


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


def parse_body(body: bytes, max_depth: int) -> dict[str, Any]:
    """Return the JSON object in a request's body; raises MalformedJson or BadInput."""
    try:
        return parse_request(body, max_depth)
    except NotAnObject as error:
        raise BadInput(str(error)) from error
    except InvalidJson as error:
        raise MalformedJson(str(error)) from error


def find_callback_uri(json_data: dict[str, Any], policy: AddressPolicy) -> str | None:
    """Return the request's ``callback_uri``; raises BadInput when it may not be called."""
    uri = json_data.get("callback_uri")
    if uri is None:
        return None
    try:
        policy.check_uri(uri)
    except ForbiddenDestination as error:
        raise BadInput(f"callback_uri: {error}") from error
    return uri
