"""Whether what listens on a port speaks TLS for a name, as Caddy does once it has a certificate."""

from __future__ import annotations

import socket
import ssl

PROBE_SECONDS = 2.0


def speaks_tls(port: int, name: str) -> bool | None:
    """Tell whether a TLS handshake for ``name`` succeeds at a port of this machine.

    None when nothing listens there.  Who signed the certificate does not matter here.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=PROBE_SECONDS)
    except OSError:
        return None
    try:
        with connection, context.wrap_socket(connection, server_hostname=name):
            return True
    except OSError:  # ssl.SSLError is one: without a certificate Caddy sends an alert
        return False
