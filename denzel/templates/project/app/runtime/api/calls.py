"""Read what a ``POST /predict`` asks for."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import falcon.asgi

from app.runtime.api.access import caller
from app.runtime.api.errors import BadInput
from app.runtime.api.preferences import Preference, parse_prefer
from app.runtime.api.request_body import (
    check_callback_uri,
    idempotent_body,
    parse_body,
    parse_raw_body,
    raw_callback_uri,
    read_body,
)
from app.runtime.api.streaming import StreamDispatcher, wants_stream
from app.runtime.api.verification import NOT_RETURNED, Verifier
from app.runtime.callbacks.policy import deployment_policy
from app.runtime.contract import owner_of
from app.runtime.pipeline.raw_requests import RawRequest, raw_type
from app.runtime.pipeline.schemas import DENZELS_OWN
from app.runtime.settings import Settings

IDEMPOTENCY_KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")
"""Printable ASCII, 255 characters at most, as other services take it."""


class Call(NamedTuple):
    """What a client's ``POST /predict`` asks for.

    ``payload`` is what verify_input made of it, ``caller`` the name of its API key, empty for none.
    ``wait`` is for how many seconds it waits for the prediction, None for not at all.  ``body`` is
    what an Idempotency-Key ``key`` stands for.
    """

    payload: bytes
    caller: str
    preference: Preference
    is_async: bool
    streams: bool
    wait: float | None
    callback_uri: str | None
    key: str | None
    body: bytes

    @property
    def owner(self) -> str:
        """Whose the request is, as its record tells."""
        return owner_of(self.caller)


class CallReader:
    """Reads requests, and has verify_input look at them.

    ``dispatcher`` knows how requests are answered that prefer nothing; ``streams`` tells that
    predict yields its answer in pieces.
    """

    def __init__(
        self, settings: Settings, verifier: Verifier, dispatcher: StreamDispatcher, *, streams: bool
    ) -> None:
        self._max_body_bytes = settings.max_body_bytes  # computed each time it is asked for
        self._max_json_depth = settings.max_json_depth
        self._verify = verifier
        self._dispatcher = dispatcher
        self._streams = streams
        self._policy = deployment_policy(settings)

    async def read(self, req: falcon.asgi.Request) -> Call:
        """Return what a request asks for, once verify_input has taken it; raises ApiError."""
        body = await read_body(req, self._max_body_bytes)
        content = await self._parse(body, req)
        key = read_idempotency_key(req)
        repeated = b"" if key is None else _repeated_body(content, body, req)
        requested_uri = _callback_uri(content, req)
        payload, verified_uri = await self._verify(content)  # which may change the content
        preference = parse_prefer(req.get_header("Prefer"))
        streams = self._streams and _takes_stream(req, preference, key)
        is_async = not streams and self._answers_async(preference)
        uri = requested_uri if verified_uri is NOT_RETURNED else verified_uri
        return Call(
            payload,
            caller(req),
            preference,
            is_async,
            streams,
            self._wait(preference, is_async),
            check_callback_uri(uri, self._policy) if is_async else None,
            key,
            repeated,
        )

    async def _parse(self, body: bytes, req: falcon.asgi.Request) -> Any:
        """Return what verify_input is called for: JSON, or a RawRequest; raises ApiError."""
        if self._verify.takes_raw_requests and (content_type := raw_type(req.content_type)):
            return await parse_raw_body(body, content_type, req)
        return parse_body(body, self._max_json_depth, req)

    def _answers_async(self, preference: Preference) -> bool:
        """Tell how to answer: as the request prefers, else as the deployment is set."""
        if preference.respond_async or preference.wait is not None:
            return preference.respond_async
        return self._dispatcher.response_mode.is_async

    def _wait(self, preference: Preference, is_async: bool) -> float | None:
        """Return for how many seconds the client waits for its prediction; None: not at all."""
        if preference.wait is not None or is_async:
            return preference.wait
        return self._dispatcher.response_mode.timeout


def _callback_uri(content: Any, req: falcon.asgi.Request) -> Any:
    """Return the callback_uri that a client has sent."""
    if isinstance(content, RawRequest):
        return raw_callback_uri(content, req)
    return content.get(DENZELS_OWN)


def _repeated_body(content: Any, body: bytes, req: falcon.asgi.Request) -> bytes:
    """Return what of a request is the same each time it is sent with its Idempotency-Key."""
    return idempotent_body(content, body, req) if isinstance(content, RawRequest) else body


def _takes_stream(req: falcon.asgi.Request, preference: Preference, key: str | None) -> bool:
    """Tell whether a client can be sent pieces; with a key it is to get the same answer again."""
    return key is None and not preference.respond_async and wants_stream(req.accept)


def read_idempotency_key(req: falcon.asgi.Request) -> str | None:
    """Return the request's ``Idempotency-Key``; raises BadInput for one that cannot be used."""
    key = req.get_header("Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise BadInput("Idempotency-Key: it takes 1 to 255 printable ASCII characters")
    return key


def callers_key(name: str, key: str) -> str:
    """Return the name under which a caller's Idempotency-Key is stored; no other caller's is."""
    return f"{len(name)} {name} {key}"
