"""Whose X-Forwarded-* headers are believed, and what they say."""

from __future__ import annotations

import asyncio

import pytest

from app.runtime.proxies import Forwarded, TrustedProxies

PROXIES = ("192.0.2.1", "10.0.0.0/8", "2001:db8::/32")


def read(peer: str, *proxies: str, **headers: list[str] | str) -> Forwarded | None:
    """Return what is believed of headers that ``peer`` sent."""

    def values(name: str) -> list[str]:
        found = headers.get(name.removeprefix("x-forwarded-"), [])
        return [found] if isinstance(found, str) else found

    return TrustedProxies(proxies or PROXIES).read(peer, values)


@pytest.mark.parametrize(
    "peer", ["192.0.2.1", "10.200.3.4", "2001:db8::9", "::ffff:192.0.2.1", "::ffff:10.0.0.1"]
)
def test_a_proxy_that_is_named_is_believed(peer: str) -> None:
    forwarded = read(peer, **{"for": "203.0.113.7"}, proto="https", host="models.example")
    assert forwarded == Forwarded("203.0.113.7", "https", "models.example")


@pytest.mark.parametrize("peer", ["192.0.2.2", "11.0.0.1", "2001:db9::1", "127.0.0.1", "", "unix"])
def test_nobody_else_is(peer: str) -> None:
    assert read(peer, **{"for": "203.0.113.7"}, proto="https", host="models.example") is None


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        # What a client wrote itself stands before what the first trusted proxy added.
        ("127.0.0.1, 203.0.113.7", "203.0.113.7"),
        ("127.0.0.1, 203.0.113.7, 10.1.1.1", "203.0.113.7"),
        (["127.0.0.1", "203.0.113.7,10.1.1.1"], "203.0.113.7"),
        ("10.1.1.1, 10.1.1.2", "10.1.1.1"),
        ("nonsense, 10.1.1.2", "10.1.1.2"),
        ("203.0.113.7, nonsense", None),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:DB9::1]:4711", "2001:db9::1"),
        ("2001:db9::1", "2001:db9::1"),
        ("", None),
    ],
    ids=str,
)
def test_the_client_is_the_last_who_is_no_proxy(chain: list[str] | str, client: str | None) -> None:
    forwarded = read("192.0.2.1", **{"for": chain})
    assert forwarded is not None
    assert forwarded.client == client


@pytest.mark.parametrize(
    ("proto", "host", "expected"),
    [
        ("HTTPS", "models.example:8443", ("https", "models.example:8443")),
        ("http, https", "evil.example, models.example", ("https", "models.example")),
        (["http", "https"], ["evil.example", "[::1]:80"], ("https", "[::1]:80")),
        ("gopher", "models.example/path", (None, None)),
        ("", "", (None, None)),
        ("https", "user@models.example", ("https", None)),
    ],
    ids=str,
)
def test_of_several_the_last_counts_and_nonsense_does_not(
    proto: list[str] | str, host: list[str] | str, expected: tuple[str | None, str | None]
) -> None:
    forwarded = read("192.0.2.1", proto=proto, host=host)
    assert forwarded is not None
    assert (forwarded.scheme, forwarded.host) == expected


def test_a_name_stands_for_the_addresses_it_has() -> None:
    async def look_up() -> list[bool]:
        proxies = TrustedProxies(["no..name", "nowhere.invalid", "localhost"])
        believed = [proxies.read("127.0.0.1", lambda _: []) is not None]
        await proxies.start()
        believed += [proxies.read(peer, lambda _: []) is not None for peer in ("127.0.0.1", "1.1")]
        await proxies.stop()
        return believed

    assert asyncio.run(look_up()) == [False, True, False]


def test_without_proxies_there_is_nothing_to_read() -> None:
    assert not TrustedProxies([])
