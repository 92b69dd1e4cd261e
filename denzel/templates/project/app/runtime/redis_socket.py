"""Find Redis and connect to it: the one place where a socket to it is opened.

Every connection of every service begins here, whatever speaks over it then: TCP, TLS or a Unix
socket, to the server that REDIS_URL names or to the master that the Sentinels name at this moment
(redis.io/docs/latest/develop/reference/sentinel-clients).  The standard library alone is used.
"""

from __future__ import annotations

import socket
import ssl

from .resp import RedisRefused, RespConnection
from .settings import RedisAddress

SENTINEL_SECONDS = 0.5
"""How long a Sentinel may take before it is passed over."""
SILENT_SECONDS, PROBE_SECONDS, PROBES = 10, 5, 3
"""A machine that lost its power closes no connection.  The kernel asks after one that is silent,
and breaks it when these probes are not answered: after 25 s, not after two hours (tcp(7))."""


def open_socket(address: RedisAddress, timeout: float) -> socket.socket:
    """Return a socket that is connected to Redis; ``timeout`` in seconds is its own, too.

    Raises OSError, of which a certificate that is not trusted is one.
    """
    connected, host = connect(address, timeout)
    return _encrypted(connected, address, host)


def connect(address: RedisAddress, timeout: float) -> tuple[socket.socket, str]:
    """Return a socket that is connected to Redis but not encrypted, and the host's name."""
    if address.socket_path:
        return _connect_unix(address.socket_path, timeout), ""
    host, port = find_master(address) if address.master else address.hosts[0]
    return _connect_tcp(host, port, timeout), host


def tls_context(address: RedisAddress) -> ssl.SSLContext | None:
    """Return how TLS is spoken, with certificates as they are now; None where it is not.

    The server's certificate and name are always verified.
    """
    if not address.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=address.ca or None)
        if address.certificate:
            context.load_cert_chain(address.certificate, address.key or None)
    except OSError as error:
        names = [f"{name}={text}" for name, text in (
            ("REDIS_CA", address.ca), ("REDIS_CERTIFICATE", address.certificate),
            ("REDIS_KEY", address.key),
        ) if text]  # fmt: skip
        reason = error.strerror or error
        raise OSError(f"{', '.join(names)} cannot be used for TLS: {reason}") from error
    return context


def find_master(address: RedisAddress) -> tuple[str, int]:
    """Return host and port of the master, as the Sentinel that knows of the last failover names it.

    All are asked: one that has not heard of it yet names the old master, which may be up again and
    would accept what it loses when it is demoted.  Raises ConnectionError when none answers.
    """
    found, problems = [], []
    for host, port in address.hosts:
        try:
            found.append(_ask_sentinel(address, host, port))
        except (OSError, RedisRefused) as error:
            problems.append(f"{host}:{port}: {error}")
    if found:
        return max(found)[1:]
    raise ConnectionError(f"No Sentinel names the master {address.master} ({'; '.join(problems)})")


def _ask_sentinel(address: RedisAddress, host: str, port: int) -> tuple[int, str, int]:
    """Return the number of the last failover a Sentinel knows of, and the master since then."""
    connected = _encrypted(_connect_tcp(host, port, SENTINEL_SECONDS), address, host)
    with RespConnection(connected) as sentinel:
        if address.sentinel_password:
            sentinel.ask("AUTH", address.sentinel_password)
        reply = sentinel.ask("SENTINEL", "MASTER", address.master)
        words = [str(word) for word in reply] if isinstance(reply, list) else []
        told = dict(zip(words[::2], words[1::2], strict=False))
        if "config-epoch" not in told:
            raise ConnectionError("is no Sentinel")
        return int(told["config-epoch"]), told["ip"], int(told["port"])


def _connect_tcp(host: str, port: int, timeout: float) -> socket.socket:
    connected = socket.create_connection((host, port), timeout)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    # The same for what was sent and not acknowledged, which is sent again for 15 minutes otherwise.
    most = 1000 * (SILENT_SECONDS + PROBES * PROBE_SECONDS)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, most)
    return connected


def _connect_unix(path: str, timeout: float) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(timeout)
        connected.connect(path)
    except BaseException:
        connected.close()
        raise
    return connected


def _encrypted(connected: socket.socket, address: RedisAddress, host: str) -> socket.socket:
    try:
        context = tls_context(address)
        return context.wrap_socket(connected, server_hostname=host) if context else connected
    except BaseException:
        connected.close()
        raise


class RedisConnection(RespConnection):
    """A connection to Redis, authenticated; ``timeout`` in seconds is for each answer.

    Raises OSError when Redis cannot be reached or does not answer in time, RedisRefused when it
    lets nobody in with this password.
    """

    def __init__(self, address: RedisAddress, timeout: float) -> None:
        super().__init__(open_socket(address, timeout))
        try:
            if address.credentials:
                self.ask("AUTH", *address.credentials)
            if address.database:
                self.ask("SELECT", str(address.database))
        except BaseException:
            self.close()
            raise
