"""Nothing that comes over HTTP makes a server fault, a crash, or a leak."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from denzel.polling import polls

from . import hostile
from .figures import figures
from .memory import private_mib
from .probes import await_predictions
from .stage import API_CHILD, Stage

LONG_EXAMPLES, SHORT_EXAMPLES = 2000, 200
GROWTH_MIB = 10.0
"""Of all API processes together."""
DOCUMENTED = frozenset({501, 503, 504})
IMPATIENCE_SECONDS = 0.005
WARM_UPS = 10
"""How often the largest requests are sent before memory is measured.

The allocator keeps what one needs, wherever it finds room: each process grows for a few times.
"""
SLOW_CLIENTS = 150
CLIENT_TIMEOUT = 5
"""As the deployment's settings say."""


@dataclass
class Abuse:
    """Sends hostile requests and counts the answers."""

    stage: Stage
    examples: int
    seed: int
    statuses: Counter[int] = field(default_factory=Counter)
    sent: int = 0

    def send(self, data: bytes, patience: float = hostile.PATIENCE_SECONDS) -> list[int]:
        """Send one; return the statuses it was answered with, none of which is a fault."""
        statuses = hostile.exchange(self.stage.port, data, patience)
        self.sent += 1
        self.statuses.update(statuses)
        faults = [status for status in statuses if status >= 500 and status not in DOCUMENTED]
        assert not faults, f"{faults} for {data[:2000]!r}"
        return statuses

    def send_unfinished(self, data: bytes) -> list[int]:
        """Send what is hardly ever a whole request, so that no answer is waited for."""
        return self.send(data, IMPATIENCE_SECONDS)

    def each(self, strategy: st.SearchStrategy[Any], use: Callable[[Any], object]) -> None:
        """Call ``use`` with some hundred examples."""

        @hypothesis.seed(self.seed)
        @hypothesis.settings(
            max_examples=self.examples, database=None, deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        @hypothesis.given(strategy)
        def check(example: Any) -> None:
            use(example)

        check()


@pytest.fixture(scope="module")
def abuse(stage: Stage, is_long: bool, seed: int) -> Iterator[Abuse]:
    """Yield the means of abuse; afterwards the deployment must be as it was before."""
    await_predictions(stage.url, 30)
    abuse = Abuse(stage, LONG_EXAMPLES if is_long else SHORT_EXAMPLES, seed)
    processes = stage.processes()
    for _ in range(WARM_UPS):
        every_fault(abuse)
    before = private_mib(stage.pids(API_CHILD))
    yield abuse
    await_predictions(stage.url, 30)
    growth = private_mib(stage.pids(API_CHILD)) - before
    figures(
        f"abuse, seed {seed}",
        requests=abuse.sent,
        answers=dict(sorted(abuse.statuses.items())),
        growth_of_the_API=f"{growth:.1f} MiB, from {before:.1f} MiB",
    )
    assert stage.processes() == processes
    assert growth < GROWTH_MIB


def every_fault(abuse: Abuse) -> None:
    for oddity in hostile.ODDITIES:
        abuse.send(oddity)
    for body in hostile.BODIES:
        for preference in (b"respond-async", b"wait=5"):
            abuse.send(hostile.post(body, (b"Prefer", preference)))


def test_what_broke_other_servers(abuse: Abuse) -> None:
    every_fault(abuse)


def test_random_bytes(abuse: Abuse) -> None:
    abuse.each(st.binary(max_size=3000), abuse.send_unfinished)


def test_requests_of_random_parts(abuse: Abuse) -> None:
    abuse.each(hostile.requests, abuse.send)


def test_chunks_that_are_none(abuse: Abuse) -> None:
    abuse.each(hostile.chunked, abuse.send_unfinished)


def test_any_json_object(abuse: Abuse) -> None:
    def send(example: tuple[bytes, list[tuple[bytes, bytes]]]) -> None:
        body, headers = example
        abuse.send(hostile.post(body, *headers))

    telling = st.tuples(
        st.sampled_from([b"Prefer", b"Idempotency-Key", b"Content-Type"]),
        hostile.telling_values | hostile.tokens,
    )
    abuse.each(st.tuples(hostile.encoded_objects, st.lists(telling, max_size=3)), send)


def test_bodies_shorter_or_longer_than_said(abuse: Abuse) -> None:
    abuse.each(
        st.tuples(hostile.encoded_objects, st.integers(0, 2000)),
        lambda example: abuse.send_unfinished(hostile.post(example[0], length=example[1])),
    )


def test_questions_for_a_status(abuse: Abuse) -> None:
    def send(example: tuple[bytes, str]) -> None:
        task_id, wait = example
        target = b"/status/%b?wait=%b" % (task_id, wait.encode())
        abuse.send(hostile.request(b"GET", target, b"HTTP/1.1", [(b"Host", b"x")], b""))

    abuse.each(st.tuples(hostile.tokens | st.binary(max_size=30), hostile.waits), send)


def test_slow_clients_tie_up_nothing(abuse: Abuse, rng: random.Random) -> None:
    heads = (
        b"GET /info HTTP/1.1\r\nHost: x\r\nX: ",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"",
    )
    slow = [socket.create_connection(("127.0.0.1", abuse.stage.port)) for _ in range(SLOW_CLIENTS)]
    try:
        for position, connection in enumerate(slow):
            connection.sendall(heads[position % len(heads)])
            connection.setblocking(False)
        longest = 0.0
        left = list(slow)
        for _ in polls(0.5, timeout=4 * CLIENT_TIMEOUT):
            started = time.monotonic()
            assert abuse.stage.ask("POST", "/predict", json={"number": 1}).status_code == 200
            longest = max(longest, time.monotonic() - started)
            left = [connection for connection in left if not is_closed(connection)]
            for connection in left:
                with suppress(OSError):
                    connection.send(rng.choice((b"1", b"a", b" ")))
            if not left:
                break
        figures("slow clients", clients=SLOW_CLIENTS, slowest_answer_to_others=f"{longest:.2f} s")
        assert not left
    finally:
        for connection in slow:
            connection.close()


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the server has closed the connection, and read what it said."""
    try:
        return not connection.recv(65536)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
