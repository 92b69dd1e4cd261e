"""Cross-origin resource sharing: which pages may read the answers (fetch.spec.whatwg.org, 3.3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import falcon

ANY = "*"


class Cors(falcon.CORSMiddleware[Any, Any]):
    """Falcon's middleware, which answers preflights; caches are told that origins matter."""

    def __init__(
        self, origins: Collection[str], *, exposed: Iterable[str], credentials: bool
    ) -> None:
        allowed = ANY if ANY in origins else list(origins)
        super().__init__(
            allow_origins=allowed,
            expose_headers=exposed,
            # With the asterisk any page could act for its visitors.
            allow_credentials=allowed if credentials and allowed != ANY else None,
        )
        self._varies = allowed != ANY

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: bool
    ) -> None:
        """Add the headers that let a page read the response."""
        super().process_response(req, resp, resource, req_succeeded)
        if self._varies:
            resp.append_header("Vary", "Origin")


def headers_of_refusal(origin: str, origins: Collection[str], *, credentials: bool) -> str:
    """Return the header lines that let a page of ``origin`` read the server's own refusal."""
    if ANY in origins:
        return f"access-control-allow-origin: {ANY}\r\n"
    if origin not in origins:
        return ""
    lines = f"access-control-allow-origin: {origin}\r\nvary: Origin\r\n"
    return lines + "access-control-allow-credentials: true\r\n" * credentials
