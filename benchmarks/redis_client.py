"""Just enough of Redis' protocol (RESP2) to ask a server whether it is there and how full it is."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from benchmarks.errors import BenchmarkError

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class RedisServer:
    """A Redis on a unix socket; an empty password is none."""

    socket_path: Path
    password: str = ""

    def answers(self) -> bool:
        """Tell whether it serves commands."""
        try:
            return self._ask("PING").startswith("PONG")
        except (OSError, BenchmarkError):
            return False

    def used_memory(self) -> int:
        """Return the bytes that its data takes, Redis' own overhead included."""
        for line in self._ask("INFO", "memory").splitlines():
            name, _, value = line.partition(":")
            if name == "used_memory":
                return int(value)
        raise BenchmarkError(f"Redis at {self.socket_path} does not tell its used_memory")

    def _ask(self, *words: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(str(self.socket_path))
            with connection.makefile("rb") as answers:
                if self.password:
                    connection.sendall(_encode("AUTH", self.password))
                    _answer(answers)
                connection.sendall(_encode(*words))
                return _answer(answers)


def _encode(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded]
    return b"".join([b"*%d\r\n" % len(encoded), *parts])


def _answer(answers: BinaryIO) -> str:
    """Return an answer that is a simple or a bulk string; raises BenchmarkError for another."""
    head = answers.readline().rstrip().decode()
    if head.startswith("$"):
        return answers.read(int(head[1:]) + 2).decode()
    if not head.startswith("+"):
        raise BenchmarkError(f"Redis answers {head!r}")
    return head[1:]
