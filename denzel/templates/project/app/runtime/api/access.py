"""API keys: who may ask for predictions, where the deployment has set any.

``API_KEYS`` holds SHA-256 hashes, so that whoever reads ``.env`` or a service's environment
holds no key.  A key is random and long (``denzel apikey``), so a plain hash is enough.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import falcon.asgi

from app.runtime.api.errors import Unauthorized

OPEN_PATHS = frozenset({"/info", "/openapi.json", "/health/live", "/health/ready", "/metrics"})
"""What answers without a key: nothing that a caller sent, or that was predicted for one.

``/metrics`` has a key of its own."""
KEY_HEADER = "X-API-Key"


class AccessControl:
    """Falcon middleware that lets in who brings one of ``keys``, name to SHA-256 in hex.

    ``open_paths`` answer without a key besides OPEN_PATHS.
    """

    def __init__(self, keys: Mapping[str, str], open_paths: frozenset[str] = frozenset()) -> None:
        self._open_paths = OPEN_PATHS | open_paths
        self._keys = {name: digest.encode() for name, digest in keys.items()}

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Raise Unauthorized unless the request brings a key, or needs none."""
        if req.method == "OPTIONS":  # no browser sends a key with that
            return
        name = self._find(read_key(req))
        if name is None:
            if req.path in self._open_paths:
                return
            raise Unauthorized(
                f"Send an API key as `Authorization: Bearer KEY` or as `{KEY_HEADER}: KEY`"
            )
        req.context.caller = name

    def _find(self, key: str) -> str | None:
        """Return whose key this is; every one is compared, each in constant time."""
        digest = hashlib.sha256(key.encode()).hexdigest().encode()
        found = None
        for name, known in self._keys.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


def read_key(req: falcon.asgi.Request) -> str:
    """Return the API key a request brings, empty for none."""
    scheme, _, token = (req.get_header("Authorization") or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return (req.get_header(KEY_HEADER) or "").strip()


def caller(req: falcon.asgi.Request) -> str:
    """Return the name of the key a request brought, empty where no key is asked for."""
    return getattr(req.context, "caller", "")
