"""Open-loop load: requests leave when they are due, whether or not earlier ones are answered.

wrk has no such mode.  A closed loop waits for a slow answer before it sends the next request,
so it sends least when the server is slowest, and its percentiles look better than what clients
who know nothing of one another would see (coordinated omission).  Here each latency counts from
the moment the request was due, also when the generator itself was late.

One thread and bare sockets: a request costs half of what it costs with asyncio, so that at
2,000 requests a second the server is measured and not the generator, which has no processor of
its own.  Linux only (epoll).
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.errors import BenchmarkError
from benchmarks.records import Load

MAX_CONNECTIONS = 400
FIRST_CONNECTIONS = 32
CONNECT_SECONDS = 5.0
DRAIN_SECONDS = 10.0
READ_BYTES = 65536
CONTENT_LENGTH = b"content-length:"
OK = 200
NO_ANSWER = 0


class Answer(NamedTuple):
    """What became of one request: when it was due, how long after that it was answered.

    Times are seconds of the monotonic clock.  ``status`` is NO_ANSWER when the connection broke.
    """

    due: float
    seconds: float
    status: int


class Connection:
    """One HTTP/1.1 connection, kept alive, with one request under way at most."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.due = 0.0
        self.is_open = False
        self._buffer = b""
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.connect_ex(address)

    def opened(self) -> bool:
        """Tell whether it could be opened; call it once the socket can be written to."""
        self.is_open = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        self._socket.setblocking(True)
        return self.is_open

    def fileno(self) -> int:
        """Return the file descriptor, for epoll."""
        return self._socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was to be sent at ``due``; raises OSError when it cannot be."""
        self.due = due
        self._socket.sendall(request)

    def receive(self) -> int | None:
        """Return the answer's status; None while it is incomplete, NO_ANSWER when none comes.

        Call it when there is something to read.
        """
        try:
            data = self._socket.recv(READ_BYTES)
        except OSError:
            return NO_ANSWER
        if not data:
            return NO_ANSWER
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < content_length(head):
            return None
        self._buffer = b""
        return int(head[9:12])

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class Generator:
    """Sends requests at random moments, ``rate`` a second on average (a Poisson process).

    ``answers`` is what came of those sent, ``lateness`` how many seconds after its moment each
    left; ``unanswered`` counts those still waited for, or never sent, at the end.
    """

    def __init__(
        self,
        url: str,
        body: bytes,
        *,
        rate: float,
        seed: int,
        most_connections: int = MAX_CONNECTIONS,
    ) -> None:
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            raise BenchmarkError(f"{url} names no host and port")
        self._address = (parts.hostname, parts.port)
        self._request = request_bytes(f"{parts.hostname}:{parts.port}", parts.path, body)
        self._rate = rate
        self._most_connections = most_connections
        self._random = random.Random(seed)
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._backlog: deque[float] = deque()
        self._busy = 0
        self._opening = 0
        self.answers: list[Answer] = []
        self.lateness: list[float] = []
        self.unanswered = 0

    def run(self, seconds: float, drain: float = DRAIN_SECONDS) -> None:
        """Send for so many seconds, wait up to ``drain`` seconds for answers, then hang up."""
        try:
            self._open_first()
            self._generate(seconds)
            self._drain(drain)
            self.unanswered = self._busy + len(self._backlog)
        finally:
            for connection in self._connections.values():
                connection.close()
            self._epoll.close()

    def _open_first(self) -> None:
        self._connect(min(FIRST_CONNECTIONS, self._most_connections))
        until = time.monotonic() + CONNECT_SECONDS
        while self._opening and (left := until - time.monotonic()) > 0:
            self._receive(left)
        if not self._idle:
            raise BenchmarkError(f"No connection to {self._address} can be opened")

    def _generate(self, seconds: float) -> None:
        due = time.monotonic()
        end = due + seconds
        while due < end:
            self._receive_until(due)
            self.lateness.append(time.monotonic() - due)
            self._backlog.append(due)
            self._send_backlog()
            due += self._random.expovariate(self._rate)
        self._receive_until(end)

    def _receive_until(self, moment: float) -> None:
        """Take answers in until ``moment``; once also when that is past, or none would be read."""
        while True:
            left = moment - time.monotonic()
            self._receive(max(left, 0.0))
            if moment <= time.monotonic():
                return

    def _drain(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (self._busy or self._backlog) and (left := until - time.monotonic()) > 0:
            self._receive(left)

    def _receive(self, wait: float) -> None:
        """Wait for answers.  select() waits for microseconds, epoll for whole milliseconds."""
        if not select.select([self._epoll], [], [], wait)[0]:
            return
        for descriptor, _ in self._epoll.poll(0):
            connection = self._connections[descriptor]
            if not connection.is_open:
                self._opened(connection)
            elif (status := connection.receive()) is not None:
                self._ended(connection, status)
        self._send_backlog()

    def _send_backlog(self) -> None:
        """Send what is due on idle connections; open new ones, up to the limit, for the rest."""
        while self._backlog and self._idle:
            connection = self._idle.pop()
            self._busy += 1
            try:
                connection.send(self._request, self._backlog.popleft())
            except OSError:
                self._ended(connection, NO_ANSWER)
        room = self._most_connections - len(self._connections)
        self._connect(min(len(self._backlog) - self._opening, room))

    def _connect(self, count: int) -> None:
        """Begin to open so many connections; none when ``count`` is negative."""
        for _ in range(count):
            connection = Connection(self._address)
            self._connections[connection.fileno()] = connection
            self._epoll.register(connection, select.EPOLLOUT)
            self._opening += 1

    def _opened(self, connection: Connection) -> None:
        """Use a new connection; if it was refused, so was the request it was opened for."""
        self._opening -= 1
        if connection.opened():
            self._epoll.modify(connection, select.EPOLLIN)
            self._idle.append(connection)
            return
        self._drop(connection)
        if self._backlog:
            due = self._backlog.popleft()
            self.answers.append(Answer(due, time.monotonic() - due, NO_ANSWER))

    def _ended(self, connection: Connection, status: int) -> None:
        """Note what became of the request under way, if any; drop a broken connection."""
        if connection.due:
            self._busy -= 1
            self.answers.append(Answer(connection.due, time.monotonic() - connection.due, status))
            connection.due = 0.0
        elif connection in self._idle:
            self._idle.remove(connection)
        if status == NO_ANSWER:
            self._drop(connection)
        else:
            self._idle.append(connection)

    def _drop(self, connection: Connection) -> None:
        del self._connections[connection.fileno()]
        self._epoll.unregister(connection)
        connection.close()


def open_loop(
    url: str,
    body: Path,
    *,
    rate: float,
    seconds: float,
    seed: int,
    most_connections: int = MAX_CONNECTIONS,
) -> tuple[Load, float]:
    """Return what was seen, and how late (ms) one request in a hundred left."""
    generator = Generator(
        url, body.read_bytes(), rate=rate, seed=seed, most_connections=most_connections
    )
    generator.run(seconds)
    load = summarise(generator.answers, generator.unanswered, seconds)
    return load, percentile(sorted(generator.lateness), 99) * 1e3


def summarise(answers: Sequence[Answer], unanswered: int, seconds: float) -> Load:
    """Return the load's figures; raises BenchmarkError when nothing was answered."""
    latencies = sorted(each.seconds for each in answers if each.status != NO_ANSWER)
    if not latencies:
        raise BenchmarkError("None of the requests of an open loop was answered")
    return Load(
        requests=len(latencies),
        seconds=seconds,
        p50=percentile(latencies, 50) * 1e3,
        p90=percentile(latencies, 90) * 1e3,
        p99=percentile(latencies, 99) * 1e3,
        max=latencies[-1] * 1e3,
        refused=sum(each.status not in (OK, NO_ANSWER) for each in answers),
        failed=sum(each.status == NO_ANSWER for each in answers) + unanswered,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
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
