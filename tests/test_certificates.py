"""Whether a port speaks TLS, asked of real servers."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import trustme

from denzel.certificates import speaks_tls

NAME = "predict.example.test"


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on a port of this machine; have ``answer`` deal with one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            # Who asks may have hung up by then.
            with connection, suppress(OSError):
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_a_server_with_a_certificate_speaks_tls_whoever_signed_it() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(NAME).configure_cert(context)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)

    with listening(answer) as port:
        assert speaks_tls(port, NAME) is True


def test_a_server_that_ends_the_handshake_does_not() -> None:
    with listening(lambda connection: connection.close()) as port:
        assert speaks_tls(port, NAME) is False


def test_a_server_without_a_certificate_for_the_name_does_not() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(bytes.fromhex("15030300020250"))  # alert: internal_error

    with listening(answer) as port:
        assert speaks_tls(port, NAME) is False


def test_where_nothing_listens_nothing_can_be_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert speaks_tls(port, NAME) is None
