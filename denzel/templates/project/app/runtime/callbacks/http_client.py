"""aiohttp, set up for receivers that may be slow, broken or hostile.

Nothing that a client usually does for its user is wanted: no redirects, proxies, cookies or
decompression, no second use of a connection, and no name lookup, since what is connected to is an
address that was checked.  It is checked once more where the socket is made, so that nothing can
lead around that.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver, AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.payload import Payload

from app.runtime.callbacks.body import Body
from app.runtime.callbacks.uri import ForbiddenDestination

CheckAddress = Callable[[str, int, str], object]
"""Takes an address, a port and the name that led there, if any; raises ForbiddenDestination when
they may not be connected to."""

MAX_HEADERS = 1000
TOO_LONG = "its headers are too long"


def default_tls_context() -> ssl.SSLContext:
    """Return a context that trusts the system's certificate authorities.

    ``SSL_CERT_FILE`` replaces them, as everywhere in OpenSSL; where the system has none,
    certifi's are taken.
    """
    paths = ssl.get_default_verify_paths()
    has_any = paths.cafile or (paths.capath and any(Path(paths.capath).iterdir()))
    return ssl.create_default_context(cafile=None if has_any else certifi.where())


class LimitedSocket(socket.socket):
    """A socket that reads up to a number of bytes and fails then.

    asyncio's own event loop reads through these methods (uvloop does not).  So the limit counts
    everything that a receiver sends: status line, headers, interim answers, TLS records.
    """

    readable_bytes = 0

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read once."""
        data = super().recv(min(bufsize, self._allowance()), flags)
        self.readable_bytes -= len(data)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int:
        """Read once into a buffer."""
        wanted = nbytes or len(buffer)
        count = super().recv_into(buffer, min(wanted, self._allowance()), flags)
        self.readable_bytes -= count
        return count

    def _allowance(self) -> int:
        if self.readable_bytes <= 0:
            raise OSError(errno.EMSGSIZE, TOO_LONG)
        return self.readable_bytes


@dataclass
class Connection:
    """What one request is sent over: the receiver's name, if it has one, and its socket."""

    host: str
    sock: LimitedSocket | None = None

    def abort(self) -> None:
        """End the connection, whatever is still to be sent.

        aiohttp closes a transport gently, which waits until everything buffered is sent: for ever,
        when a receiver does not read.
        """
        if self.sock is not None:
            with contextlib.suppress(OSError):  # it is closed, or was never connected
                self.sock.shutdown(socket.SHUT_RDWR)


current_connection: ContextVar[Connection] = ContextVar("current_connection")
"""The connection of the request that this task makes."""


class NoResolver(AbstractResolver):
    """Refuses to look names up."""

    async def resolve(self, host: str, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        raise OSError(f"{host} is no address")

    async def close(self) -> None:
        """Do nothing."""


class Upload(Payload):
    """The body of one request; ``begun`` and ``ended`` tell how far it is on its way.

    It is begun once the connection stands, and has ended, too, when the receiver closed that.
    """

    _value: Body

    def __init__(self, body: Body) -> None:
        super().__init__(body, content_type=body.content_type)
        self._size = body.size
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:
        """Refuse: it is not held in memory."""
        raise TypeError("a callback's body is sent, not decoded")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send all of it."""
        self.begun.set()
        try:
            async for chunk in self._value.read():
                await writer.write(chunk)
        finally:
            self.ended.set()

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Send all of it; its length is that of the request's head already."""
        await self.write(writer)


def open_session(
    check_address: CheckAddress, tls: ssl.SSLContext, max_answer_bytes: int
) -> aiohttp.ClientSession:
    """Return a session that connects to checked addresses alone and reads so many bytes each.

    To be called in a running event loop.
    """

    def make_socket(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, (address, port, *_) = info
        connection = current_connection.get()
        try:
            check_address(address, port, connection.host)
        except ForbiddenDestination as error:
            raise OSError(errno.EACCES, str(error)) from error
        connection.sock = LimitedSocket(family, kind, protocol)
        connection.sock.readable_bytes = max_answer_bytes
        return connection.sock

    connector = aiohttp.TCPConnector(
        limit=0,  # the slots are the limit
        force_close=True,
        use_dns_cache=False,
        resolver=NoResolver(),
        happy_eyeballs_delay=None,
        socket_factory=make_socket,
        ssl=tls,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=max_answer_bytes,
        max_field_size=max_answer_bytes,
        max_headers=MAX_HEADERS,
        skip_auto_headers=("Accept",),
    )


def describe_failure(error: BaseException) -> str:
    """Say in a few words why there was no answer."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        return f"its certificate is not valid: {getattr(cause, 'verify_message', cause)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
        if isinstance(error.__cause__, ForbiddenDestination):
            return str(error.__cause__)
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    if isinstance(error, aiohttp.ClientResponseError):
        return TOO_LONG if isinstance(error.__cause__, LineTooLong) else "it is no HTTP"
    if isinstance(error, OSError) and error.strerror:
        # asyncio's words for a failed connection name the address instead of the reason.
        is_vague = error.strerror.startswith("Connect call failed")
        return os.strerror(error.errno or 0) if is_vague else error.strerror
    return str(error)
