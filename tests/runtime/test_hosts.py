"""Which Host and Origin headers are this machine's own."""

from __future__ import annotations

import pytest

from app.runtime.hosts import is_known_host, is_loopback, is_same_origin


@pytest.mark.parametrize(
    "header",
    ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:8000",
     "app.localhost", "localhost.:80", "api:8000", "x", "", "models.example",
     "Models.Example:8000"],
)  # fmt: skip
def test_this_machines_names_are_known(header: str) -> None:
    assert is_known_host(header, ("models.example",))


@pytest.mark.parametrize(
    "header",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example",
     "evil.example@localhost", "localhost/evil.example", "localhost:evil", "192.0.2.1", "0.0.0.0",
     "[2001:db8::1]", "[::1", "x.models.example", "localhost, evil.example", "evil.example."],
)  # fmt: skip
def test_strangers_names_are_not(header: str) -> None:
    assert not is_known_host(header, ("models.example",))


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("mylocalhost", False)],
)  # fmt: skip
def test_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("origin", "host"),
    [("http://localhost:8000", "localhost:8000"), ("http://x", "x:80"), ("https://x", "x:443"),
     ("https://models.example", "models.example"), ("http://[::1]:8000", "[::1]:8000"),
     ("HTTP://X:8000", "x:8000")],
)  # fmt: skip
def test_the_same_origin(origin: str, host: str) -> None:
    assert is_same_origin(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [("http://evil.example", "localhost:8000"), ("null", "localhost"), ("", ""), ("null", "null"),
     ("http://localhost:3000", "localhost:8000"), ("http://localhost", "localhost:8000"),
     ("file://", ""), ("http://x:port", "x"), ("http://[::1", "[::1")],
)  # fmt: skip
def test_other_origins(origin: str, host: str) -> None:
    assert not is_same_origin(origin, host)
