"""Where callbacks may go, in every notation an address can be written in."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.runtime.callbacks.addresses import AddressPolicy, parse_allow
from app.runtime.callbacks.networks import is_own_address
from app.runtime.callbacks.uri import (
    MAX_URI_CHARACTERS,
    ForbiddenDestination,
    Target,
    parse_uri,
)

from .senders import machine_addresses

STRICT = AddressPolicy()
LAPTOP = AddressPolicy(deny_hosts=frozenset(), allow_loopback=True, own_ports=frozenset({8000}))

FORBIDDEN_ADDRESSES = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.170.2",
    "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "192.0.2.1", "198.18.0.1",
    "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254",
    "2001::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1", "64:ff9b:1::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "::127.0.0.1",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254",
]  # fmt: skip
ALLOWED_ADDRESSES = [
    "8.8.8.8", "1.1.1.1", "99.255.255.255", "100.63.255.255", "100.128.0.1", "126.255.255.255",
    "128.0.0.1", "169.253.255.255", "223.255.255.255",
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.5",
    "2606:4700::1111", "fd12:3456::1", "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::8.8.8.8",
]  # fmt: skip
MALFORMED = [
    None, 7, ["http://a.example/"], "", "/", "hook", "//a.example/", "http://", "http:///hook",
    "http:a.example", "http:/a.example/", "ftp://a.example/", "file:///etc/passwd",
    "gopher://a.example:6379/_", "unix:///run/docker.sock", "javascript:alert(1)",
    "http://user@a.example/", "http://user:secret@a.example/", "http://8.8.8.8@127.0.0.1/",
    "http://a.example\\@127.0.0.1/", "http://@a.example/", "http://a.example&@b/",
    "http://a.example:0/", "http://a.example:65536/", "http://a.example:-1/",
    "http://a.example:8O/", "http://a.example:80:80/", "http://a.example:\u0661/",
    "http://a.example/\n", "\thttp://a.example/", " http://a.example/", "http://a.exa\0mple/",
    "http://a.exa\r\nmple/", "http://a.example/a b", "http://a.example/\x7f",
    "http://a.example/\u2028", "http://a.example/\ud800",
    "http://[::1/", "http://::1/", "http://[::1]x/", "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/", "http://[1.2.3.4]/", "http://[]/", "http://[v1.a]/",
    "http://%31%32%37.0.0.1/", "http://a%00.example/", "http://a..example/", "http://./",
    "http://a.example../", "http://-a.example/", "http://" + "a" * 64 + ".example/",
    "http://" + "a." * 130 + "example/", "http://a.example/" + "x" * MAX_URI_CHARACTERS,
    "http://1.2.3/", "http://1.2.3.4.5/", "http://a.1/", "http://a.0x1/", "http://256.1.1.1/",
    "http://*.example/", "http://a,b/", "http://a\u2100.example/",
]  # fmt: skip
LOOPBACK_NOTATIONS = [
    "127.0.0.1", "127.0.0.1.", "2130706433", "0177.0.0.1", "017700000001", "0x7f.0.0.1",
    "0X7F000001", "127.1", "127.0.1", "127.00.00.01", "0", "[::1]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:0001::]",
    "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021",
    "127.0.0.1#@a.example", "127.0.0.1?@a.example", "127.0.0.1/@a.example",
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain",
    "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
]  # fmt: skip


def in_uri(address: str) -> str:
    return f"http://[{address}]:9/hook" if ":" in address else f"http://{address}:9/hook"


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_address_is_forbidden(address: str) -> None:
    with pytest.raises(ForbiddenDestination):
        STRICT.check_address(address, 80)
    with pytest.raises(ForbiddenDestination):
        STRICT.check_uri(in_uri(address))


@pytest.mark.parametrize("address", ALLOWED_ADDRESSES)
def test_address_is_allowed(address: str) -> None:
    STRICT.check_address(address, 80)
    assert STRICT.check_uri(in_uri(address)).port == 9


@pytest.mark.parametrize("uri", MALFORMED, ids=ascii)
def test_malformed_uri_is_refused_whatever_is_allowed(uri: object) -> None:
    everything = parse_allow("0.0.0.0/0, ::/0")[1]
    policy = AddressPolicy(allow_networks=everything, allow_loopback=True)
    with pytest.raises(ForbiddenDestination) as refusal:
        policy.check_uri(uri)
    str(refusal.value).encode(errors="strict")  # goes into an answer


@pytest.mark.parametrize("host", LOOPBACK_NOTATIONS)
def test_loopback_is_forbidden_in_every_notation(host: str) -> None:
    with pytest.raises(ForbiddenDestination):
        STRICT.check_uri(f"http://{host}/")


def spellings(address: int) -> st.SearchStrategy[str]:
    """Ways to write an IPv4 address that inet_aton reads."""
    octets = list(address.to_bytes(4, "big"))
    tails = [octets, [*octets[:2], address & 0xFFFF], [octets[0], address & 0xFFFFFF], [address]]
    number = st.sampled_from(["{}", "0{:o}", "0x{:x}", "0X{:X}", "00{:o}", "0x0{:x}"])
    forms = st.lists(number, min_size=4, max_size=4)
    return st.builds(
        lambda parts, forms: ".".join(
            form.format(part) for form, part in zip(forms, parts, strict=False)
        ),
        st.sampled_from(tails),
        forms,
    )


ipv4 = st.integers(0, 2**32 - 1) | st.sampled_from(
    [int(ipaddress.ip_address(item)) for item in FORBIDDEN_ADDRESSES if ":" not in item]
)


@given(ipv4.flatmap(spellings))
@example("127.0.0.1")
@example("0177.0.0.1")
@example("2130706433")
def test_notation_is_no_way_around_the_check(text: str) -> None:
    """Whatever the system reads as an address is either refused or checked as that address."""
    meant = ipaddress.IPv4Address(socket.inet_aton(text))
    try:
        STRICT.check_address(meant, 80)
        forbidden = False
    except ForbiddenDestination:
        forbidden = True
    try:
        target = STRICT.check_uri(f"http://{text}/")
    except ForbiddenDestination:
        assert forbidden or text != str(meant), "an allowed address in its usual notation"
    else:
        assert not forbidden
        assert target.address == meant


@given(st.text("0123456789abcdefxX.:[]", max_size=20))
def test_what_the_system_reads_as_an_address_is_never_taken_for_a_name(text: str) -> None:
    try:
        meant = ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return
    try:
        target = parse_uri(f"http://{text}/")
    except ForbiddenDestination:
        return
    assert target.address == meant


@given(ipv4)
def test_ipv4_inside_ipv6_is_judged_as_ipv4(number: int) -> None:
    inner = ipaddress.IPv4Address(number)

    def is_allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        try:
            STRICT.check_address(address, 80)
        except ForbiddenDestination:
            return False
        return True

    for outer in (f"::ffff:{inner}", f"64:ff9b::{inner}"):
        assert is_allowed(ipaddress.IPv6Address(outer)) == is_allowed(inner), outer
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (number << 80))
    assert is_allowed(six_to_four) == is_allowed(inner)


@given(st.text(max_size=40))
@example("http://[::1]\uff0f")
def test_any_text_is_refused_or_taken_apart(text: str) -> None:
    for uri in (text, f"http://{text}", f"http://a.example/{text}", f"http://a.example:{text}"):
        try:
            target = STRICT.check_uri(uri)
        except ForbiddenDestination:
            continue
        assert target.path.isascii() and target.path.isprintable() and " " not in target.path
        assert target.host.isascii() and target.host


@pytest.mark.parametrize(
    ("uri", "target", "authority"),
    [
        ("http://A.Example", Target("http", "a.example", 80, "/"), "a.example"),
        ("HTTPS://a.example.:443/x?y#z", Target("https", "a.example", 443, "/x?y"), "a.example"),
        ("http://a.example:8080?q=1", Target("http", "a.example", 8080, "/?q=1"), "a.example:8080"),
        ("https://b\u00fccher.example/\u00e9?\u00fc=%20%zz",
         Target("https", "xn--bcher-kva.example", 443, "/%C3%A9?%C3%BC=%20%zz"),
         "xn--bcher-kva.example"),
        ("http://a/b%20c/d:e@f;g=~h|i", Target("http", "a", 80, "/b%20c/d:e@f;g=~h%7Ci"), "a"),
        ("http://[FD12::0:1]:81/",
         Target("http", "fd12::1", 81, "/", ipaddress.ip_address("fd12::1")),
         "[fd12::1]:81"),
        ("http://my_receiver:/", Target("http", "my_receiver", 80, "/"), "my_receiver"),
    ],
)  # fmt: skip
def test_uri_is_taken_apart(uri: str, target: Target, authority: str) -> None:
    found = STRICT.check_uri(uri)
    assert found == target
    assert found.authority == authority


def test_refusal_says_what_is_wrong() -> None:
    for uri, reason in {
        "http://user:secret@a.example/": "no user name or password",
        "http://127.1/": "four decimal numbers",
        "http://169.254.169.254/": "link-local.*CALLBACK_ALLOW",
    }.items():
        with pytest.raises(ForbiddenDestination, match=reason):
            STRICT.check_uri(uri)


def test_services_of_the_deployment_are_forbidden_by_name() -> None:
    for name in ("redis", "API", "monitor.", "denzel", "callbacks"):
        with pytest.raises(ForbiddenDestination, match="service of this deployment"):
            STRICT.check_uri(f"http://{name}:6379/")
    assert LAPTOP.check_uri("http://api/").host == "api"


def test_networks_of_the_deployment_are_forbidden() -> None:
    policy = AddressPolicy(deny_networks=parse_allow("172.18.0.0/16, fd99::/64")[1])
    for address in ("172.18.0.2", "::ffff:172.18.0.2", "fd99::2", "64:ff9b::172.18.0.2"):
        with pytest.raises(ForbiddenDestination, match="own network"):
            policy.check_address(address, 80, host="redis.shop_default")
    policy.check_address("172.19.0.2", 80)


def test_exceptions_open_what_they_name_and_no_more() -> None:
    hosts, networks = parse_allow(" receiver.lan,Redis., 127.0.0.2 ,169.254.0.0/24,fe80::/10")
    policy = AddressPolicy(allow_hosts=hosts, allow_networks=networks)
    for uri in ("http://127.0.0.2/", "http://169.254.0.9/", "http://[fe80::1]/", "http://redis/"):
        policy.check_uri(uri)
    policy.check_address("127.0.0.1", 80, host="receiver.lan")
    for uri in ("http://127.0.0.1/", "http://169.254.169.254/", "http://api/", "http://0.0.0.0/"):
        with pytest.raises(ForbiddenDestination):
            policy.check_uri(uri)
    with pytest.raises(ForbiddenDestination, match=r"other\.lan \(127\.0\.0\.1\)"):
        policy.check_address("127.0.0.1", 80, host="other.lan")


def test_loopback_can_be_allowed() -> None:
    for uri in ("http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost:9/"):
        LAPTOP.check_uri(uri)
    for uri in ("http://0.0.0.0:9/", "http://[::]:9/", "http://169.254.169.254/"):
        with pytest.raises(ForbiddenDestination):
            LAPTOP.check_uri(uri)


def test_own_ports_are_forbidden_on_this_machine_only_and_without_exception() -> None:
    trusting = dataclasses.replace(LAPTOP, allow_hosts=frozenset({"localhost"}))
    for address in ("127.0.0.1", "127.0.0.9", "::ffff:127.0.0.1", *machine_addresses()):
        with pytest.raises(ForbiddenDestination, match="service of this deployment"):
            trusting.check_address(address, 8000, host="localhost")
        with pytest.raises(ForbiddenDestination, match="service of this deployment"):
            trusting.check_uri(in_uri(address).replace(":9/", ":8000/"))
    trusting.check_address("8.8.8.8", 8000)
    trusting.check_address("127.0.0.1", 8001)


def test_own_address_is_told_from_others() -> None:
    for address in ("127.0.0.1", *machine_addresses()):
        assert is_own_address(ipaddress.ip_address(address)), address
    for address in ("8.8.8.8", "2606:4700::1111"):
        assert not is_own_address(ipaddress.ip_address(address)), address


@pytest.mark.parametrize("text", ["10.0.0.5/8", "a b", "*.example", "127.1", "a/b", "http://a/"])
def test_bad_exception_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("*", r"\*")):
        parse_allow(f"receiver.lan, {text}")


CONTAINER = AddressPolicy(
    own_ports=frozenset({8000, 5555}),
    host_addresses=frozenset({ipaddress.ip_address("172.17.0.1"), ipaddress.ip_address("fd99::1")}),
    allow_networks=parse_allow("172.17.0.0/16")[1],
)


@pytest.mark.parametrize("port", [8000, 5555])
@pytest.mark.parametrize(
    "host",
    ["host.docker.internal", "HOST.docker.internal.", "gateway.docker.internal", "172.17.0.1",
     "[::ffff:172.17.0.1]", "[64:ff9b::172.17.0.1]", "[fd99::1]"],
)  # fmt: skip
def test_published_ports_at_the_hosts_addresses_are_forbidden(host: str, port: int) -> None:
    with pytest.raises(ForbiddenDestination, match="a service of this deployment"):
        CONTAINER.check_uri(f"http://{host}:{port}/hook")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_container_told_localhost_names_the_uri_that_works(host: str) -> None:
    receiver = "http://host.docker.internal:9000/john_q?a=1"
    with pytest.raises(ForbiddenDestination, match=rf"machine is {re.escape(receiver)}$"):
        CONTAINER.check_uri(f"http://{host}:9000/john_q?a=1")
    assert CONTAINER.check_uri(receiver).port == 9000
    with pytest.raises(ForbiddenDestination) as of_this_deployment:
        CONTAINER.check_uri(f"http://{host}:8000/john_q")
    assert "host.docker.internal" not in str(of_this_deployment.value)
    with pytest.raises(ForbiddenDestination, match="this machine itself; the deployment's setting"):
        STRICT.check_uri(f"http://{host}:9000/john_q")


def test_a_name_of_the_hosts_address_does_not_reach_published_ports() -> None:
    for address in ("172.17.0.1", "::ffff:172.17.0.1", "fd99::1"):
        with pytest.raises(ForbiddenDestination, match="a service of this deployment"):
            CONTAINER.check_address(address, 8000, host="receiver.example")


def test_other_ports_of_the_host_are_a_users_own_receiver() -> None:
    for host in ("host.docker.internal", "172.17.0.1"):
        assert CONTAINER.check_uri(f"http://{host}:9000/hook").port == 9000
    CONTAINER.check_address("172.17.0.1", 9000, host="host.docker.internal")
    CONTAINER.check_address("172.17.0.2", 8000, host="other.example")
