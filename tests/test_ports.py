"""Ports are told free or taken by binding them, on both protocol families."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from denzel.errors import PortTaken, UsageError
from denzel.ports import FOR_ROOT, check_https_ports, check_ports, free_port, why_unavailable


@contextmanager
def listening(family: socket.AddressFamily, address: str) -> Iterator[int]:
    """Listen on a port the system chooses; give its number."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET, "0.0.0.0"),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET6, "::"),
    ],
)
def test_a_port_taken_on_one_address_is_taken(family: socket.AddressFamily, address: str) -> None:
    with listening(family, address) as port:
        assert "is taken" in str(why_unavailable(port))
        with pytest.raises(PortTaken, match=f"Port {port} is taken.*with `--api-port [0-9]+`"):
            check_ports({"--api-port": port})
        assert free_port(port) != port
    assert why_unavailable(port) is None


def test_a_port_whose_connection_closed_a_moment_ago_is_free() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        with socket.create_connection(address):
            # The side that closes first, here the listener's, stays in TIME_WAIT.
            listener.accept()[0].close()
    assert why_unavailable(address[1]) is None


def test_the_same_port_for_both_is_refused(unused_port: int) -> None:
    with pytest.raises(UsageError, match="--api-port and --monitor-port are both"):
        check_ports({"--api-port": unused_port, "--monitor-port": unused_port})


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_number_out_of_range_is_no_port(port: int) -> None:
    with pytest.raises(UsageError, match="must be 1 to 65535"):
        check_ports({"--api-port": port})


def test_free_port_avoids_what_it_is_told_to(unused_port: int) -> None:
    assert free_port(unused_port, avoid=[unused_port]) > unused_port


def test_a_port_that_caddy_cannot_have_is_named_with_its_setting() -> None:
    with listening(socket.AF_INET, "127.0.0.1") as port:
        wanted = {"HTTPS_PORT": free_port(port), "HTTP_PORT": port}
        for as_root in (False, True):
            with pytest.raises(PortTaken, match=rf"Port {port} is taken.*HTTP_PORT in \.env"):
                check_https_ports(wanted, as_root=as_root)
    check_https_ports(wanted)


def test_a_port_for_root_is_refused_to_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denzel.ports.why_unavailable", lambda _: FOR_ROOT)
    with pytest.raises(PortTaken, match=r"only be bound by root.*ip_unprivileged_port_start=443"):
        check_https_ports({"HTTPS_PORT": 443})
    check_https_ports({"HTTPS_PORT": 443}, as_root=True)
