"""Open-loop load: requests leave when they are due, whether or not earlier ones are answered.

wrk has no such mode.  A closed loop waits for a slow answer before it sends the next request,
so it sends least when the server is slowest, and its percentiles look better than what clients
who know nothing of one another would see.  Here each latency counts from the moment the request
was due.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.errors import BenchmarkError
from benchmarks.records import Load

MAX_CONNECTIONS = 400
"""Fewer than the 1024 file descriptors that select() takes."""
FIRST_CONNECTIONS = 32
DRAIN_SECONDS = 10.0
CONTENT_LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, kept alive, with one request under way at most."""

    def __init__(self, answered: Callable[[Connection, bool], None]) -> None:
        self.due = 0.0
        self.open = False
        self._answered = answered
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that the connection can be used."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it cannot be used any more; an answer awaited is not coming."""
        self.open = False
        if self.due:
            self._answered(self, False)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was to be sent at ``due`` (the loop's clock)."""
        assert self._transport is not None
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take in a piece of the answer."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if separator and len(body) >= content_length(head):
            self._buffer = b""
            self._answered(self, head[9:12] == b"200")

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


class Generator:
    """Sends requests at random moments, ``rate`` a second on average (a Poisson process)."""

    def __init__(self, url: str, body: bytes, rate: float, seed: int, most: int) -> None:
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            raise BenchmarkError(f"{url} names no host and port")
        self._host, self._port = parts.hostname, parts.port
        self._request = request_bytes(f"{self._host}:{self._port}", parts.path, body)
        self._rate = rate
        self._most_connections = most
        self._random = random.Random(seed)
        self._idle: list[Connection] = []
        self._backlog: deque[float] = deque()
        self._connections: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self.latencies: list[float] = []
        self.lateness: list[float] = []
        self.refused = 0
        self.failed = 0

    async def run(self, seconds: float) -> None:
        """Send for so many seconds, then wait for what is under way."""
        self._loop = asyncio.get_running_loop()
        first = min(FIRST_CONNECTIONS, self._most_connections)
        await asyncio.gather(*(self._connect() for _ in range(first)))
        due = self._loop.time()
        end = due + seconds
        while due < end:
            wait = due - self._loop.time()
            await asyncio.sleep(max(wait, 0))
            self._send(due)
            due += self._random.expovariate(self._rate)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._under_way():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            self.failed += self._under_way()
        for connecting in self._connecting:
            connecting.cancel()
        for connection in self._connections:
            connection.due = 0.0
            connection.close()

    def _under_way(self) -> int:
        return len(self._backlog) + sum(bool(each.due) for each in self._connections)

    def _send(self, due: float) -> None:
        self.lateness.append(self._loop.time() - due)
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                connection.send(self._request, due)
                return
        self._backlog.append(due)
        if len(self._connections) + len(self._connecting) < self._most_connections:
            connecting = self._loop.create_task(self._connect())
            self._connecting.add(connecting)
            connecting.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._answered), self._host, self._port
            )
        except OSError:
            self.failed += 1
            return
        self._connections.add(connection)
        self._reuse(connection)

    def _answered(self, connection: Connection, accepted: bool) -> None:
        self.latencies.append(self._loop.time() - connection.due)
        self.refused += not accepted
        connection.due = 0.0
        if connection.open:
            self._reuse(connection)
        else:
            self._connections.discard(connection)

    def _reuse(self, connection: Connection) -> None:
        if self._backlog:
            connection.send(self._request, self._backlog.popleft())
        else:
            self._idle.append(connection)


def open_loop(
    url: str,
    body: Path,
    *,
    rate: float,
    seconds: float,
    seed: int,
    most_connections: int = MAX_CONNECTIONS,
) -> tuple[Load, float]:
    """Return what was seen, and how late (ms) one request in a hundred left.

    The loop waits with select(), whose microseconds epoll's timeouts lack.
    """
    generator = Generator(url, body.read_bytes(), rate, seed, most_connections)
    with asyncio.Runner(loop_factory=_select_loop) as runner:
        runner.run(generator.run(seconds))
    if not generator.latencies:
        raise BenchmarkError(f"{url} answered none of the requests of an open loop")
    latencies = sorted(generator.latencies)
    load = Load(
        requests=len(latencies),
        seconds=seconds,
        p50=percentile(latencies, 50) * 1e3,
        p90=percentile(latencies, 90) * 1e3,
        p99=percentile(latencies, 99) * 1e3,
        max=latencies[-1] * 1e3,
        refused=generator.refused,
        failed=generator.failed,
    )
    return load, percentile(sorted(generator.lateness), 99) * 1e3


def percentile(ordered: list[float], share: float) -> float:
    """Return the value that ``share`` percent of the ordered values do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def request_bytes(host: str, path: str, body: bytes) -> bytes:
    """Return a POST request of HTTP/1.1 with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def content_length(head: bytes) -> int:
    """Return how long the body after an answer's head is; raises BenchmarkError if not told."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(CONTENT_LENGTH):
            return int(line[len(CONTENT_LENGTH) :])
    raise BenchmarkError("An answer has no Content-Length; the open loop cannot read it")


def _select_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
