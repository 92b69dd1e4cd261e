"""Where callbacks may go: a check of the URI, and a check of the address connected to.

A callback is a request that a stranger has this deployment make (server-side request forgery),
so it must not reach what only this machine or its neighbours can: services that listen on
loopback, the cloud's metadata, Redis.  A name says nothing about that, because its owner may
answer differently each time it is looked up; so ``http_client.py`` checks the very address
it connects to, and the check of the URI only refuses early what can never be right.

Private networks (10.0.0.0/8 and the like) are allowed: a receiver in the same office or data
centre is the usual case of a model served on one's own machines.  In Docker the deployment's
own services have private addresses as well, and many names each (service, alias, container,
``redis.shop_default``); ``networks.py`` tells the one thing they share.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from app.runtime.callbacks.networks import IPNetwork, is_own_address
from app.runtime.callbacks.uri import (
    ForbiddenDestination,
    IPAddress,
    Target,
    is_address,
    normalize_host,
    parse_uri,
)

OWN_SERVICES = frozenset(
    {"api", "callbacks", "denzel", "grafana", "https", "monitor", "prometheus", "redis"}
)
"""Names of the deployment's services in its own Docker network."""

_HOST_NAME = "host.docker.internal"
HOST_NAMES = frozenset({_HOST_NAME, "gateway.docker.internal"})
"""Names of the machine that a container runs on, in that container."""

_OWN_SERVICE = "it is a service of this deployment"
_LOOPBACK = "it is loopback, this machine itself"
_LOOPBACK_OF_CONTAINER = (
    "it is loopback, this container itself; a receiver on its machine is {receiver}"
)
_METADATA = "it is where clouds give out their metadata"
_FORBIDDEN_NAMES = {
    "localhost": _LOOPBACK,
    "localhost.localdomain": _LOOPBACK,
    "ip6-localhost": _LOOPBACK,
    "ip6-loopback": _LOOPBACK,
    "metadata.google.internal": _METADATA,
}

# The registries of special-purpose addresses (iana.org/assignments/iana-ipv4-special-registry,
# iana-ipv6-special-registry), less the private networks; then addresses known for metadata.
# Python's own is_private and is_global differ between its versions, so they are not asked.
_FORBIDDEN_NETWORKS: tuple[tuple[IPNetwork, str], ...] = tuple(
    (ipaddress.ip_network(network), reason)
    for reason, networks in {
        _LOOPBACK: "127.0.0.0/8 ::1/128",
        "it is unspecified, and so this machine itself": "0.0.0.0/8 ::/128",
        "it is link-local, where clouds give out their metadata": "169.254.0.0/16 fe80::/10",
        _METADATA: "192.0.0.192/32 168.63.129.16/32 fd00:ec2::/32 fd20:ce::/32 fd00:c1::/32",
        "it is shared address space of a provider": "100.64.0.0/10",
        "it is multicast": "224.0.0.0/4 ff00::/8",
        "it is broadcast": "255.255.255.255/32",
        "it is reserved": (
            "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 "
            "203.0.113.0/24 240.0.0.0/4 2001::/23 2001:db8::/32 3fff::/20"
        ),
    }.items()
    for network in networks.split()
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_USABLE_IPV6 = (ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("fc00::/7"), _NAT64)
_LOOPBACKS = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What is forbidden, and the exceptions; an exception outweighs everything but own_ports.

    ``deny_networks`` are the deployment's own (``networks.py``), ``deny_hosts`` its services'
    names.  An ``allow_hosts`` name is allowed whatever it resolves to.  ``own_ports`` are those on
    which this deployment's services can be reached on its machine: at this process's own addresses,
    and where that runs in a container, at ``host_addresses`` and by HOST_NAMES.  They are never
    allowed, so that a callback cannot command Flower.
    """

    deny_networks: frozenset[IPNetwork] = frozenset()
    allow_networks: frozenset[IPNetwork] = frozenset()
    allow_hosts: frozenset[str] = frozenset()
    deny_hosts: frozenset[str] = OWN_SERVICES
    allow_loopback: bool = False
    own_ports: frozenset[int] = frozenset()
    host_addresses: frozenset[IPAddress] = frozenset()

    def check_uri(self, uri: object) -> Target:
        """Return the URI's parts; raises ForbiddenDestination when it may not be called.

        Looks nothing up: a name that resolves to a forbidden address is found by
        :meth:`check_address`, when it is about to be connected to.
        """
        target = parse_uri(uri)
        if self.host_addresses and target.port not in self.own_ports and self._is_loopback(target):
            receiver = f"{target.scheme}://{_HOST_NAME}:{target.port}{target.path}"
            raise _forbidden(target.host, _LOOPBACK_OF_CONTAINER.format(receiver=receiver))
        if target.address is not None:
            self.check_address(target.address, target.port)
        else:
            self._check_name(target.host, target.port)
        return target

    def check_address(self, address: str | IPAddress, port: int, *, host: str = "") -> None:
        """Raise ForbiddenDestination when the address may not be connected to.

        ``host`` is the name that resolved to it, if any.
        """
        ip = ipaddress.ip_address(address)
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if port in self.own_ports and any(map(self._is_this_machine, _forms(ip))):
            raise _forbidden(f"{ip} port {port}", _OWN_SERVICE)
        if host in self.allow_hosts:
            return
        for form in _forms(ip):
            reason = None if self._is_exception(form) else self._reason_against(form)
            if reason is not None:
                shown = f"{host} ({ip})" if host else str(ip)
                raise _forbidden(shown, f"{reason}; {_REMEDY}")

    def _is_loopback(self, target: Target) -> bool:
        """Tell whether a URI names loopback, which no exception allows."""
        if target.address is None:
            return target.host not in self.allow_hosts and _names_loopback(target.host)
        forms = [*_forms(target.address)]
        return any(_is_in(form, _LOOPBACKS) and not self._is_exception(form) for form in forms)

    def _is_this_machine(self, ip: IPAddress) -> bool:
        return ip in self.host_addresses or is_own_address(ip)

    def _check_name(self, host: str, port: int) -> None:
        if port in self.own_ports and host in HOST_NAMES:
            raise _forbidden(f"{host} port {port}", _OWN_SERVICE)
        if host in self.allow_hosts:
            return
        reason = _LOOPBACK if _names_loopback(host) else _FORBIDDEN_NAMES.get(host)
        if reason == _LOOPBACK and self.allow_loopback:
            return
        if host in self.deny_hosts:
            reason = _OWN_SERVICE
        if reason is not None:
            raise _forbidden(host, f"{reason}; {_REMEDY}")

    def _is_exception(self, ip: IPAddress) -> bool:
        if self.allow_loopback and _is_in(ip, _LOOPBACKS):
            return True
        return _is_in(ip, self.allow_networks)

    def _reason_against(self, ip: IPAddress) -> str | None:
        if (reason := _special_purpose(ip)) is not None:
            return reason
        if _is_in(ip, self.deny_networks):
            return "it is in the deployment's own network"
        return None


@lru_cache(maxsize=256)
def _special_purpose(ip: IPAddress) -> str | None:
    """Return why nobody's callbacks may go there by default, if so."""
    for network, reason in _FORBIDDEN_NETWORKS:
        if ip in network:
            return reason
    if ip.version == 6 and not any(ip in network for network in _USABLE_IPV6):
        return "it is reserved"
    return None


_REMEDY = "the deployment's setting CALLBACK_ALLOW makes exceptions"


def _forbidden(destination: str, reason: str) -> ForbiddenDestination:
    return ForbiddenDestination(f"callbacks may not go to {destination}: {reason}")


def _names_loopback(host: str) -> bool:
    return host.endswith(".localhost") or _FORBIDDEN_NAMES.get(host) == _LOOPBACK


def _is_in(ip: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    return any(ip in network for network in networks)


def _forms(ip: IPAddress) -> Iterator[IPAddress]:
    """Yield the address and the IPv4 address that a gateway would make of it."""
    yield ip
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.sixtofour is not None:
            yield ip.sixtofour
        if ip in _NAT64:
            yield ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)


def parse_allow(text: str) -> tuple[frozenset[str], frozenset[IPNetwork]]:
    """Return the host names and the networks in a comma-separated setting.

    Takes names, addresses and CIDRs (``receiver.lan, 10.1.2.3, fd12::/16``); raises ValueError
    for anything else.
    """
    hosts, networks = set(), set()
    for item in filter(None, (item.strip() for item in text.split(","))):
        if "/" in item or is_address(item.strip("[]")):
            networks.add(ipaddress.ip_network(item.strip("[]")))
        else:
            hosts.add(normalize_host(item))
    return frozenset(hosts), frozenset(networks)
