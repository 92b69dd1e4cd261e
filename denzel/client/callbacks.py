"""Check a callback on the receiver's side (Standard Webhooks 1.0, github.com/standard-webhooks)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from denzel.client.protocol import JSON
from denzel.errors import InvalidCallback, UsageError

PREFIX = "whsec_"
TIMESTAMP = re.compile(r"[0-9]{1,12}")
TOLERANCE_SECONDS = 300.0
"""How old a callback may be; the standard's own libraries take the same."""


@dataclass(frozen=True)
class Callback:
    """A callback that is genuine.

    ``task_id`` is the same when a callback is sent again.  ``result`` is what ``predict`` returned
    (bytes are bytes), or for a ``state`` other than SUCCESS what ``GET /status/ID`` says.
    ``state`` comes from a header that is not signed.
    """

    task_id: str
    state: str
    result: Any


def verify_callback(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance: float = TOLERANCE_SECONDS,
) -> Callback:
    """Return the callback that a receiver was sent, once its signature is found to be genuine.

    ``secret`` is the deployment's CALLBACK_SECRET: ``whsec_...``, or several separated by spaces.
    ``body`` is the request's body as it came.  Raises InvalidCallback for one that is not signed
    with any of them, or more than ``tolerance`` seconds old: answer such a request with 400.
    """
    secrets = [_key(each) for each in secret.split()]
    if not secrets:
        raise UsageError("There is no secret to check callbacks with; give CALLBACK_SECRET")
    named = {name.lower(): text for name, text in headers.items()}
    message_id = named.get("webhook-id", "")
    sent = named.get("webhook-timestamp", "")
    signatures = named.get("webhook-signature", "").split()
    if not (message_id and sent and signatures):
        raise InvalidCallback("The request has no webhook-id, -timestamp and -signature")
    if not TIMESTAMP.fullmatch(sent) or abs(time.time() - int(sent)) > tolerance:
        raise InvalidCallback(
            f"The callback was sent more than {tolerance:g} s ago, or the clocks differ by as much"
        )
    signed = b".".join([message_id.encode(), sent.encode(), body])
    expected = [_signature(each, signed) for each in secrets]
    if not any(_equal(own, given) for own in expected for given in signatures):
        raise InvalidCallback("The signature is not one of this secret")
    kind = named.get("content-type", JSON).partition(";")[0].strip().lower()
    result = json.loads(body) if kind == JSON else body
    return Callback(message_id, named.get("denzel-status", "SUCCESS"), result)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not (key and secret.startswith(PREFIX)):
        raise UsageError(
            f"A callback secret is {PREFIX} and base64, as CALLBACK_SECRET in .env.secrets is"
        )
    return key


def _equal(own: str, given: str) -> bool:
    """Compare in a time that does not tell how much of a signature was guessed."""
    return hmac.compare_digest(own.encode(), given.encode())


def _signature(secret: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
