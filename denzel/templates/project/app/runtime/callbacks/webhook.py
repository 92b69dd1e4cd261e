"""POST a callback to a receiver that may be slow, broken or hostile.

Built on http.client rather than on requests: the socket must be opened here, to an address that
was checked and within a time limit that no stage of the exchange can stretch, and nothing of
what a full client does on top (redirects, proxies, cookies, decompression) is wanted.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import certifi

from app.runtime.callbacks.destinations import DestinationPolicy
from app.runtime.callbacks.retries import Answer, parse_retry_after
from app.runtime.callbacks.signing import signature_headers
from app.runtime.callbacks.targets import ForbiddenDestination, Target

Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a name, best first; raises OSError when it has none."""

MAX_ADDRESSES = 8
SEND_BYTES = 64 * 1024
DRAIN_SECONDS = 1.0


def resolve_name(host: str, port: int) -> list[str]:
    """Return the addresses the system's resolver gives for a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def default_tls_context() -> ssl.SSLContext:
    """Return a context that trusts the system's certificate authorities.

    ``SSL_CERT_FILE`` replaces them, as everywhere in OpenSSL; where the system has none,
    certifi's are taken.
    """
    paths = ssl.get_default_verify_paths()
    has_any = paths.cafile or (paths.capath and any(Path(paths.capath).iterdir()))
    return ssl.create_default_context(cafile=None if has_any else certifi.where())


class Deadline:
    """A moment on the monotonic clock that ends everything measured against it."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left, more than 0; raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is up")
        return left

    def sooner(self, seconds: float) -> Deadline:
        """Return the deadline ``seconds`` from now, or this one if that is earlier."""
        return Deadline(min(seconds, self._end - time.monotonic()))


class AnswerTooLong(http.client.HTTPException):
    """The receiver sent more bytes than may be read."""


class _LimitedReader(io.RawIOBase):
    """Reads a socket until a deadline and up to a number of bytes."""

    def __init__(self, sock: socket.socket, exchange: _LimitedSocket, limit: int) -> None:
        super().__init__()
        self._sock = sock
        self._exchange = exchange
        self._left = limit

    def readable(self) -> bool:
        """Tell that this is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read once."""
        if self._left <= 0:
            raise AnswerTooLong
        self._sock.settimeout(self._exchange.deadline.left())
        count = self._sock.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count


class _LimitedSocket:
    """What http.client uses of a socket, under one deadline for all that passes through it.

    A socket's own timeout is for each call, so a byte a second would go on for ever; and an
    SSLSocket's ``sendall`` has one for each record.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline, max_answer_bytes: int) -> None:
        self._sock = sock
        self._max_answer_bytes = max_answer_bytes
        self.deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        rest = memoryview(data)
        while rest:
            self._sock.settimeout(self.deadline.left())
            rest = rest[self._sock.send(rest[:SEND_BYTES]) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a file of what the receiver answers."""
        return io.BufferedReader(_LimitedReader(self._sock, self, self._max_answer_bytes))

    def close(self) -> None:
        """Leave the socket to its owner: http.client closes it before the answer is read."""


@dataclass(frozen=True)
class Sender:
    """Sends callbacks; one serves all threads.

    ``secrets`` sign every callback (see ``signing.py``).  ``connect_timeout`` is in seconds and
    covers name, connection and TLS; ``total_timeout`` covers the whole exchange.
    ``max_answer_bytes`` counts the answer's headers, too.
    """

    policy: DestinationPolicy
    secrets: Sequence[bytes] = ()
    connect_timeout: float = 5.0
    total_timeout: float = 30.0
    max_answer_bytes: int = 64 * 1024
    user_agent: str = "denzel"
    tls: ssl.SSLContext = field(default_factory=default_tls_context)
    resolve: Resolve = resolve_name
    clock: Callable[[], float] = time.time

    def send(
        self, uri: str, body: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """POST the body once and return what came of it; the network makes it raise nothing.

        ``message_id`` is the same for every attempt at one callback; ``headers`` are added.
        """
        try:
            target = self.policy.check_uri(uri)
        except ForbiddenDestination as error:
            return Answer(error=str(error), is_forbidden=True)
        deadline = Deadline(self.total_timeout)
        all_headers = {
            "Host": target.authority,
            "User-Agent": self.user_agent,
            "Content-Type": "application/json",
            "Connection": "close",
            **(headers or {}),
            **signature_headers(self.secrets, message_id, int(self.clock()), body),
        }
        try:
            sock = self._connect(target, deadline.sooner(self.connect_timeout))
        except (OSError, ForbiddenDestination) as error:
            return Answer(error=f"no connection to {target.authority}: {_reason(error)}")
        with contextlib.closing(sock):
            try:
                return self._exchange(sock, target, body, all_headers, deadline)
            except (OSError, http.client.HTTPException) as error:
                return Answer(error=f"no answer from {target.authority}: {_reason(error)}")

    def _connect(self, target: Target, deadline: Deadline) -> socket.socket:
        """Connect to the first address that is allowed and answers, and begin TLS."""
        addresses = self._find_addresses(target, deadline)
        failure: OSError | None = None
        for position, address in enumerate(addresses):
            share = deadline.left() / (len(addresses) - position)
            try:
                # A numeric address: nothing is looked up a second time.
                sock = socket.create_connection((address, target.port), share)
            except OSError as error:
                failure = error
                continue
            return self._begin_tls(sock, target, deadline) if target.scheme == "https" else sock
        raise failure or OSError("the name has no address")

    def _begin_tls(self, sock: socket.socket, target: Target, deadline: Deadline) -> socket.socket:
        try:
            sock.settimeout(deadline.left())  # for the handshake as a whole
            return self.tls.wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise

    def _find_addresses(self, target: Target, deadline: Deadline) -> list[str]:
        """Resolve the host, once, and return those of its addresses that are allowed.

        Raises ForbiddenDestination when it has addresses, but none that is allowed.
        """
        if target.address is not None:  # checked with the URI
            return [target.host]
        refusal: ForbiddenDestination | None = None
        allowed = []
        for address in _call_within(deadline, self.resolve, target.host, target.port):
            try:
                self.policy.check_address(address, target.port, host=target.host)
                allowed.append(address)
            except ForbiddenDestination as error:
                refusal = refusal or error
        if refusal is not None and not allowed:
            raise refusal
        return allowed[:MAX_ADDRESSES]

    def _exchange(
        self,
        sock: socket.socket,
        target: Target,
        body: bytes,
        headers: Mapping[str, str],
        deadline: Deadline,
    ) -> Answer:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limited = _LimitedSocket(sock, deadline, self.max_answer_bytes)
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.auto_open = 0  # it must never connect by itself
        connection.sock = limited  # it has all that is used of a socket
        # A receiver may refuse (413, say) and close before it has read everything.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", target.path, body, dict(headers))
        with connection.getresponse() as response:
            answer = self._judge(response)
            # The status decides.  What follows is read for the receiver's sake alone, which
            # would otherwise see its connection reset while it still writes.
            limited.deadline = deadline.sooner(DRAIN_SECONDS)
            with contextlib.suppress(OSError, http.client.HTTPException):
                response.read(self.max_answer_bytes)
        return answer

    def _judge(self, response: http.client.HTTPResponse) -> Answer:
        status = response.status
        retry_after = parse_retry_after(response.getheader("Retry-After"), self.clock())
        if 200 <= status < 300:
            return Answer(status)
        hint = ", and redirects are not followed" if 300 <= status < 400 else ""
        return Answer(status, retry_after, f"the receiver answered {status}{hint}")


def _call_within(deadline: Deadline, resolve: Resolve, host: str, port: int) -> Sequence[str]:
    """Resolve in a thread of its own, for the system's resolver cannot be given a time limit.

    One that is given up ends by itself, after the resolver's own timeouts.
    """
    outcome: queue.SimpleQueue[Sequence[str] | OSError] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put(resolve(host, port))
        except OSError as error:
            outcome.put(error)
        except ValueError as error:  # a name that the resolver's own checks refuse
            outcome.put(OSError(str(error)))

    threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
    try:
        result = outcome.get(timeout=deadline.left())
    except queue.Empty:
        raise TimeoutError("its name was not resolved in time") from None
    if isinstance(result, OSError):
        raise result
    return result


def _reason(error: Exception) -> str:
    """Say in a few words why there was no answer."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection"
    if isinstance(error, AnswerTooLong):
        return "its headers are too long"
    if isinstance(error, http.client.HTTPException):
        return f"it is no HTTP ({type(error).__name__})"
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
