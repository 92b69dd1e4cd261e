"""Senders of callbacks under test, and what they are given."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import socket
import time
from collections.abc import Iterator, Mapping, Sequence

import pytest

from app.runtime.callbacks.addresses import AddressPolicy
from app.runtime.callbacks.body import Body
from app.runtime.callbacks.networks import is_own_address
from app.runtime.callbacks.resolver import Resolve, Resolver
from app.runtime.callbacks.schedule import Answer
from app.runtime.callbacks.sender import Sender, Undeliverable
from app.runtime.callbacks.signing import new_secret, parse_secrets

BODY = '{"a123": "Iris-setosa", "é": 1.0}'.encode()
SECRET = new_secret()
LIMIT_SECONDS = 0.5
SLACK_SECONDS = 3.0
"""For a busy machine; what a receiver here drags out takes ten seconds or more."""

needs_ipv6 = pytest.mark.skipif(
    not is_own_address(ipaddress.ip_address("::1")), reason="this machine has no IPv6"
)

SENDER = Sender(
    AddressPolicy(allow_loopback=True), parse_secrets(SECRET), connect_timeout=LIMIT_SECONDS,
    total_timeout=LIMIT_SECONDS, max_answer_bytes=8192, user_agent="denzel/1.2.3",
)  # fmt: skip
HURRIED = dataclasses.replace(SENDER, connect_timeout=20)
PATIENT = dataclasses.replace(HURRIED, total_timeout=20)


def send(
    sender: Sender,
    uri: str,
    body: bytes,
    *,
    message_id: str,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Make one attempt, as the service does."""

    async def attempt() -> Answer:
        async with sender:
            try:
                async with sender.admit(uri) as admission:
                    return await sender.send(
                        admission, Body.from_bytes(body), message_id=message_id, headers=headers
                    )
            except Undeliverable as error:
                return error.answer

    return asyncio.run(attempt())


def looking_up(resolve: Resolve) -> Resolver:
    """Return a resolver that keeps nothing."""
    return Resolver(resolve, cache_seconds=0)


class FakeResolver:
    """Answers with the next of the given address lists; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """Resolve a name."""
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.contextmanager
def within_the_limit() -> Iterator[None]:
    """Fail when an exchange outlasts the senders' total time limit."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < LIMIT_SECONDS + SLACK_SECONDS


def machine_addresses() -> list[str]:
    """Return the address this machine would use towards the world, if it has a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("8.8.8.8", 9))  # sends nothing
        except OSError:
            return []
        return [probe.getsockname()[0]]
