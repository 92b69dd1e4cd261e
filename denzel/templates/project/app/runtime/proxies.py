"""Forwarded headers, taken from the proxies that ``TRUSTED_PROXIES`` names and from nobody else.

A proxy tells whom it speaks for in ``X-Forwarded-For``, ``-Proto`` and ``-Host``.  Anyone else can
send these headers, too, so what they say counts only on a connection that a known proxy made.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from app.runtime.hosts import host_name
from app.runtime.periodic import Periodic

LOOKUP_SECONDS = 5.0
"""How often a name is looked up: a proxy in a container has a new address after each start."""
FIRST_LOOKUP_SECONDS = 2.0
SCHEMES = frozenset({"http", "https"})

Address = IPv4Address | IPv6Address
Values = Callable[[str], list[str]]
"""Returns every value of the header of a name, in the order in which they came."""

log = logging.getLogger("denzel.proxies")


@dataclass(frozen=True)
class Forwarded:
    """Whom a proxy speaks for; what it did not tell is None."""

    client: str | None
    scheme: str | None
    host: str | None


class TrustedProxies(Periodic):
    """The proxies that are believed: addresses, networks, and names that are looked up.

    Without :meth:`start`, names stand for nothing.
    """

    interval = LOOKUP_SECONDS

    def __init__(self, entries: Iterable[str]) -> None:
        self._networks = []
        self._names = []
        for entry in entries:
            try:
                self._networks.append(ip_network(entry))
            except ValueError:
                self._names.append(entry)
        self._found: dict[str, frozenset[Address]] = {}

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._networks or self._names)

    async def start(self) -> None:
        """Look the names up, now and every few seconds."""
        if self._names:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.look(), FIRST_LOOKUP_SECONDS)
            await super().start()

    def read(self, peer: str, values: Values) -> Forwarded | None:
        """Return what a request's headers say of its origin; None unless ``peer`` is trusted.

        Of several values the last counts, which is the one that the peer itself added.
        """
        if not self._trusts(_parse(peer)):
            return None
        scheme = _last(values("x-forwarded-proto")).lower()
        host = _last(values("x-forwarded-host"))
        return Forwarded(
            client=self._client(values("x-forwarded-for")),
            scheme=scheme if scheme in SCHEMES else None,
            host=host if host and host_name(host) else None,
        )

    def _client(self, values: list[str]) -> str | None:
        """Return the last address that is no trusted proxy's, else the first."""
        client = None
        for text in reversed(",".join(values).split(",")):
            address = _parse(text)
            if address is None:
                break
            client = str(address)
            if not self._trusts(address):
                break
        return client

    def _trusts(self, address: Address | None) -> bool:
        if address is None:
            return False
        return any(address in network for network in self._networks) or any(
            address in found for found in self._found.values()
        )

    async def look(self) -> None:
        """Look every name up; one that has no address for the moment stands for nobody."""
        loop = asyncio.get_running_loop()
        for name in self._names:
            try:
                answers = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):  # the latter for what cannot be a name: a..b
                answers = []
            addresses = (_parse(str(answer[4][0])) for answer in answers)
            found = frozenset(address for address in addresses if address is not None)
            if found != self._found.get(name):
                shown = ", ".join(sorted(map(str, found))) or "no address"
                log.info("The trusted proxy %s has %s", name, shown)
            self._found[name] = found


def _last(values: list[str]) -> str:
    """Return the last element of a header's list."""
    return ",".join(values).rpartition(",")[2].strip()


def _parse(text: str) -> Address | None:
    """Return the address in ``1.2.3.4``, ``1.2.3.4:80``, ``::1`` or ``[::1]:80``; else None."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
