"""Which addresses and networks belong to this machine, or to the one this container runs on."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from app.runtime.callbacks.uri import IPAddress

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_own_address(ip: IPAddress) -> bool:
    """Tell whether the address is one of this machine's: only to those can a socket be bound."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:  # also where there is no IPv6 at all
        return False
    return True


def own_networks(proc: Path = Path("/proc/net")) -> frozenset[IPNetwork]:
    """Return the networks this container is part of, from Linux's routes and addresses.

    Raises OSError where there is no ``/proc``: this is for containers, and not to be asked on a
    machine of the user's own, whose network is the office's.
    """
    networks: set[IPNetwork] = set()
    for line in (proc / "route").read_text(encoding="ascii").splitlines()[1:]:
        _, destination, gateway, _, _, _, _, mask = line.split()[:8]
        if int(gateway, 16) == 0 and int(mask, 16) != 0:
            parts = [_in_host_order(destination), _in_host_order(mask)]
            networks.add(ipaddress.ip_network("/".join(map(str, parts))))
    if (proc / "if_inet6").exists():  # not in a kernel without IPv6
        for line in (proc / "if_inet6").read_text(encoding="ascii").splitlines():
            address, _, prefix, _, _, interface = line.split()
            if interface != "lo":
                ip = (int(address, 16), int(prefix, 16))
                networks.add(ipaddress.IPv6Network(ip, strict=False))
    return frozenset(networks)


def _in_host_order(field: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(field, 16).to_bytes(4, sys.byteorder))


def host_addresses(names: Iterable[str], proc: Path = Path("/proc/net")) -> frozenset[IPAddress]:
    """Return the addresses at which this container reaches the machine it runs on.

    These are its gateways, from Linux's routes, and what ``names`` resolve to, if anything.
    """
    addresses: set[IPAddress] = set()
    for line in (proc / "route").read_text(encoding="ascii").splitlines()[1:]:
        gateway = line.split()[2]
        if int(gateway, 16) != 0:
            addresses.add(_in_host_order(gateway))
    if (proc / "ipv6_route").exists():  # not in a kernel without IPv6
        for line in (proc / "ipv6_route").read_text(encoding="ascii").splitlines():
            next_hop = int(line.split()[4], 16)
            if next_hop != 0:
                addresses.add(ipaddress.IPv6Address(next_hop))
    for name in names:
        with contextlib.suppress(OSError):
            for *_, (address, *_) in socket.getaddrinfo(name, None):
                addresses.add(ipaddress.ip_address(address))
    return frozenset(addresses)
