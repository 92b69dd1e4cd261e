"""Read a request's body: its size, its JSON, where its callback may go."""

from __future__ import annotations

from typing import Any

import falcon.asgi
import orjson

from app.runtime.api.errors import BadInput, BodyTooLarge, MalformedJson
from app.runtime.callbacks.addresses import AddressPolicy
from app.runtime.callbacks.uri import ForbiddenDestination


async def read_body(req: falcon.asgi.Request, limit: int) -> bytes:
    """Return the request's body; raises BodyTooLarge past ``limit`` bytes."""
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
    if not body.strip():
        raise MalformedJson("The request has no body; it must be a JSON object")
    try:
        json_data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(str(error)) from error
    # Nothing can be nested deeper than there are brackets, so most bodies need no walk.
    if has_brackets(body, max_depth) and exceeds_depth(json_data, max_depth):
        raise MalformedJson(f"Lists and objects may be nested {max_depth} deep at most")
    if not isinstance(json_data, dict):
        raise BadInput('The request must be a JSON object, like {"data": …}')
    return json_data


def has_brackets(body: bytes, limit: int) -> bool:
    """Tell whether JSON has more than ``limit`` opening brackets; looks no further than it must."""
    count = 0
    for bracket in (b"{", b"["):
        position = body.find(bracket)
        while position >= 0:
            count += 1
            if count > limit:
                return True
            position = body.find(bracket, position + 1)
    return False


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
