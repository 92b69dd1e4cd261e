"""Sign callbacks as Standard Webhooks 1.0 has it (github.com/standard-webhooks/standard-webhooks).

Imports the standard library alone, and relatively, so that ``denzel`` can give a project its secret
where the runtime's packages are not installed.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Sequence

from ..settings.parsers import SECRET_PREFIX, signing_secret

MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""No dot, which separates the parts of what is signed."""


def new_secret() -> str:
    """Return a new random secret, 32 bytes, in the form that receivers' libraries take."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """Return the secrets in a setting; several, separated by spaces, all sign each callback.

    So a secret is replaced without a lost callback: add the new one, have the receivers take
    it, remove the old one.  Raises ValueError when one is not ``whsec_`` and base64 of 24 to
    64 bytes.
    """
    return tuple(map(signing_secret, text.split()))


def signature_headers(
    secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Return the ``webhook-…`` headers of one attempt; without secrets, no signature.

    ``timestamp`` is this attempt's, in seconds since 1970: receivers take an older one than
    five minutes for a replay.  ``body`` is the exact bytes sent.  The standard's own library for
    Python signs text alone, and a prediction may be an image.
    """
    if not MESSAGE_ID.fullmatch(message_id):
        raise ValueError(f"{message_id!r} cannot be a webhook-id: letters, digits, - and _ only")
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if secrets:
        signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
        headers["webhook-signature"] = " ".join(
            f"v1,{base64.b64encode(hmac.digest(secret, signed, 'sha256')).decode()}"
            for secret in secrets
        )
    return headers
