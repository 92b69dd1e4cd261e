"""Refuse what a stranger's web page asks through its visitor's browser."""

from __future__ import annotations

from collections.abc import Collection

import falcon.asgi

from app.runtime.api.cors import ANY
from app.runtime.api.errors import ForeignOrigin, UnknownHost
from app.runtime.api.forwarding import SENT_HOST
from app.runtime.hosts import is_known_host, is_same_origin

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Those that change nothing: a browser keeps their answers from pages of other sites."""
PROBE_PATHS = frozenset({"/health/live", "/health/ready"})
"""What a probe may ask under any name: it often uses an address that nobody else does."""


class CrossSiteGuard:
    """Falcon middleware that looks at Host, where told to, and at Origin."""

    def __init__(
        self, *, checks_host: bool, allowed_hosts: tuple[str, ...], origins: Collection[str]
    ) -> None:
        self._checks_host = checks_host
        self._allowed_hosts = allowed_hosts
        self._origins = origins

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Raise UnknownHost or ForeignOrigin."""
        host = req.get_header("Host") or ""
        if self._checks_host and not self._knows(host, req.scope.get(SENT_HOST, host)):
            if req.path in PROBE_PATHS and req.method in SAFE_METHODS:
                req.context.is_stranger = True
                return
            raise UnknownHost(
                "The API is bound to this machine alone and does not answer under this name; "
                "ALLOWED_HOSTS in .env can add it"
            )
        origin = req.get_header("Origin")
        if origin is None or req.method in SAFE_METHODS or is_same_origin(origin, host):
            return
        # What the browser itself says of the sender (w3.org/TR/fetch-metadata), which no page can
        # change: a proxy may have put another Host in place of the one the page was loaded from.
        if req.get_header("Sec-Fetch-Site") == "same-origin":
            return
        if ANY not in self._origins and origin not in self._origins:
            raise ForeignOrigin(
                "Pages of this origin may not ask; CORS_ORIGINS in .env can allow it"
            )

    def _knows(self, host: str, sent_host: str) -> bool:
        """Tell whether neither host can be a stranger's site.

        A page can send X-Forwarded-Host, and its browser is as trusted as a proxy is on the same
        machine; the Host header is the browser's own.
        """
        return is_known_host(host, self._allowed_hosts) and is_known_host(
            sent_host, self._allowed_hosts
        )


def is_stranger(req: falcon.asgi.Request) -> bool:
    """Tell whether a request was let in although its Host may be a stranger's."""
    return getattr(req.context, "is_stranger", False)
