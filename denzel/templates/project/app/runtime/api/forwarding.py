"""Have a request look as if the client had sent it that a trusted proxy speaks for."""

from __future__ import annotations

from typing import Any

from app.runtime.proxies import TrustedProxies

SENT_HOST = "denzel.sent_host"
"""Where in the scope the Host header stands for which a trusted proxy named another host."""


def apply_forwarded(scope: dict[str, Any], proxies: TrustedProxies) -> None:
    """Set client, scheme and Host header of an ASGI scope to what a trusted proxy says.

    The server's access log shows the client of this very scope, so it is changed in place.
    """

    def values(name: str) -> list[str]:
        wanted = name.encode()
        return [value.decode("latin-1") for header, value in scope["headers"] if header == wanted]

    client = scope.get("client")
    forwarded = proxies.read(client[0], values) if client else None
    if forwarded is None:
        return
    if forwarded.client:
        scope["client"] = (forwarded.client, 0)
    if forwarded.scheme:
        scope["scheme"] = forwarded.scheme
    if forwarded.host:
        scope[SENT_HOST] = "".join(values("host"))
        others = [header for header in scope["headers"] if header[0] != b"host"]
        scope["headers"] = [(b"host", forwarded.host.encode("latin-1")), *others]
