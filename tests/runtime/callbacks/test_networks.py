"""Which networks a container is part of."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from app.runtime.callbacks.addresses import parse_allow
from app.runtime.callbacks.networks import host_addresses, own_networks

from .senders import machine_addresses

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0
ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0
eth1\t0000080A\t0100A8C0\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0
"""
ADDRESSES = """\
fd990000000000000000000000000002 04 40 00 82     eth0
fe80000000000000dc467cfffe14663d a8 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""
IPV6_ROUTES = """\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
fd990000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
fd990000000000000000000000000000 40 00000000000000000000000000000000 00 \
00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
"""


def test_own_networks_are_those_reached_without_a_gateway(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(ROUTES)
    ipv4_networks = parse_allow("172.18.0.0/16, 192.168.0.0/20")[1]
    assert own_networks(tmp_path) == ipv4_networks
    (tmp_path / "if_inet6").write_text(ADDRESSES)
    assert own_networks(tmp_path) == ipv4_networks | parse_allow("fd99::/64, fe80::/64")[1]


def test_own_networks_hold_this_machines_address() -> None:
    for address in machine_addresses():
        assert any(ipaddress.ip_address(address) in network for network in own_networks())


def test_host_addresses_are_the_gateways_and_what_names_resolve_to(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(ROUTES)
    (tmp_path / "ipv6_route").write_text(IPV6_ROUTES)
    found = host_addresses(["127.9.9.9", "no-such-name.invalid"], tmp_path)
    assert found == set(
        map(ipaddress.ip_address, ["172.18.0.1", "192.168.0.1", "fd99::1", "127.9.9.9"])
    )
