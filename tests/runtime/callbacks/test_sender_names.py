"""Callbacks to names: what they resolve to, when, and how long that may take."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from app.runtime.callbacks.addresses import AddressPolicy, parse_allow
from app.runtime.callbacks.resolver import resolve_name

from .receivers import answering, receiving
from .senders import (
    BODY,
    PATIENT,
    SENDER,
    FakeResolver,
    looking_up,
    needs_ipv6,
    send,
    within_the_limit,
)

# 127.0.0.2 stands for an address out in the world, every other loopback one for what is inside.
WORLD = AddressPolicy(allow_networks=parse_allow("127.0.0.2")[1])


@pytest.fixture
def stopwatch() -> Iterator[None]:
    """Fail a test whose exchange outlasts its total time limit."""
    with within_the_limit():
        yield


def test_name_that_changes_between_check_and_connection_gains_nothing() -> None:
    resolver = FakeResolver(["127.0.0.2"], ["127.0.0.1"])
    sender = dataclasses.replace(PATIENT, policy=WORLD, resolver=looking_up(resolver))
    with (
        # In this order: what other processes use of a port, they use at 127.0.0.1.
        receiving(answering("200 OK"), address="127.0.0.1") as inside,
        receiving(answering("200 OK"), address="127.0.0.2", port=inside.port) as world,
    ):
        uri = world.url("rebind.example")
        first = send(sender, uri, BODY, message_id="id")
        assert first.is_delivered and resolver.asked == ["rebind.example"]
        second = send(sender, uri, BODY, message_id="id")
    assert len(world.visits) == 1 and not inside.visits
    assert world.visits[0].headers["host"] == f"rebind.example:{world.port}"
    assert "rebind.example (127.0.0.1): it is loopback" in second.error
    assert second.may_be_repeated, "the name may resolve to an allowed address later"


@needs_ipv6
@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "::ffff:0.0.0.0"]
)
def test_name_of_a_forbidden_address_reaches_nothing(address: str) -> None:
    sender = dataclasses.replace(
        PATIENT, policy=AddressPolicy(), resolver=looking_up(FakeResolver([address]))
    )
    with (
        receiving(answering("200 OK")) as ipv4,
        receiving(answering("200 OK"), address="::1", port=ipv4.port) as ipv6,
    ):
        answer = send(sender, ipv4.url("inside.example"), BODY, message_id="id")
    assert not ipv4.visits and not ipv6.visits
    assert "callbacks may not go to" in answer.error


def test_of_several_addresses_only_allowed_ones_are_tried() -> None:
    sender = dataclasses.replace(
        PATIENT, policy=WORLD, resolver=looking_up(FakeResolver(["127.0.0.1", "::1", "127.0.0.2"]))
    )
    with (
        receiving(answering("200 OK"), address="127.0.0.1") as inside,
        receiving(answering("200 OK"), address="127.0.0.2", port=inside.port) as world,
    ):
        assert send(sender, world.url("two.example"), BODY, message_id="id").is_delivered
    assert len(world.visits) == 1 and not inside.visits


def test_next_address_is_tried_when_one_refuses() -> None:
    sender = dataclasses.replace(
        PATIENT, resolver=looking_up(FakeResolver(["127.0.0.3", "127.0.0.1"]))
    )
    with receiving(answering("200 OK")) as receiver:
        assert send(sender, receiver.url("two.example"), BODY, message_id="id").is_delivered


def test_forbidden_uri_is_final_and_looked_up_by_nobody() -> None:
    resolver = FakeResolver(["127.0.0.2"])
    sender = dataclasses.replace(PATIENT, policy=WORLD, resolver=looking_up(resolver))
    for uri in ("http://2130706433/", "http://localhost/", "ftp://a.example/", "http://redis/"):
        answer = send(sender, uri, BODY, message_id="id")
        assert answer.is_forbidden and not answer.may_be_repeated and answer.error
    assert not resolver.asked


def test_address_in_the_uri_needs_no_lookup() -> None:
    resolver = FakeResolver(["127.0.0.3"])
    with receiving(answering("200 OK")) as receiver:
        sender = dataclasses.replace(PATIENT, resolver=looking_up(resolver))
        assert send(sender, receiver.url(), BODY, message_id="id").is_delivered
    assert not resolver.asked


def test_unknown_name_is_tried_again() -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    sender = dataclasses.replace(PATIENT, resolver=looking_up(unknown))
    answer = send(sender, "http://nowhere.example/", BODY, message_id="id")
    assert answer.error == "no connection to nowhere.example: Name or service not known"
    assert answer.may_be_repeated


def test_name_without_an_address_is_tried_again() -> None:
    sender = dataclasses.replace(PATIENT, resolver=looking_up(FakeResolver([])))
    answer = send(sender, "http://nowhere.example/", BODY, message_id="id")
    assert answer.status is None and answer.error and answer.may_be_repeated


@pytest.mark.usefixtures("stopwatch")
def test_lookup_counts_against_the_time_limit() -> None:
    release = threading.Event()

    def slow(host: str, port: int) -> Sequence[str]:
        release.wait(10)
        return ["127.0.0.1"]

    sender = dataclasses.replace(SENDER, resolver=looking_up(slow))
    answer = send(sender, "http://slow.example/", BODY, message_id="id")
    release.set()
    assert answer.error == "no connection to slow.example: it took too long"


@contextlib.contextmanager
def crowded(address: str, port: int = 0) -> Iterator[int]:
    """Yield a port on which no further connection is accepted, nor refused."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind((address, port))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@pytest.mark.usefixtures("stopwatch")
def test_connection_that_is_never_accepted_is_given_up() -> None:
    with crowded("127.0.0.1") as port:
        answer = send(SENDER, f"http://127.0.0.1:{port}/", BODY, message_id="id")
    assert answer.error == f"no connection to 127.0.0.1:{port}: it took too long"


def test_address_that_never_accepts_leaves_time_for_the_next() -> None:
    resolver = FakeResolver(["127.0.0.3", "127.0.0.1"])
    sender = dataclasses.replace(PATIENT, connect_timeout=1, resolver=looking_up(resolver))
    with receiving(answering("200 OK")) as receiver, crowded("127.0.0.3", receiver.port):
        answer = send(sender, receiver.url("two.example"), BODY, message_id="id")
    assert answer.is_delivered, answer.error


def test_the_systems_resolver_is_the_default() -> None:
    assert "127.0.0.1" in resolve_name("localhost", 80)
