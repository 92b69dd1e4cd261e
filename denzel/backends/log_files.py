"""Read log files of services and the worker: whole, the end, and as they grow, over rotation."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from denzel.backends.base import LogLine

POLL_SECONDS = 0.2


def read_logs(files: Mapping[str, Path], tail: int | None) -> Iterator[LogLine]:
    """Yield the lines of each service's log, oldest first; the last ``tail`` of each service."""
    for service, path in files.items():
        with closing(_Follower(path)) as follower:
            for text in _last(follower.all_lines(), tail):
                yield LogLine(service, text)


def follow_logs(
    files: Mapping[str, Path],
    tail: int | None,
    pause: Callable[[], None] = lambda: time.sleep(POLL_SECONDS),
) -> Iterator[LogLine]:
    """Yield what :func:`read_logs` does, then every new line as it is completed, without end.

    ``pause`` is called whenever nothing is new.
    """
    followers = {service: _Follower(path) for service, path in files.items()}
    try:
        for service, follower in followers.items():
            for text in _last(follower.old_lines(), tail):
                yield LogLine(service, text)
        while True:
            quiet = True
            for service, follower in followers.items():
                for text in follower.new_lines():
                    quiet = False
                    yield LogLine(service, text)
            if quiet:
                pause()
    finally:
        for follower in followers.values():
            follower.close()


class _Follower:
    """Reads one log file to its end, again and again; keeps an unfinished line for next time."""

    def __init__(self, path: Path) -> None:
        self._partial = b""
        self._path = path
        self._file = self._opened()

    def old_lines(self) -> Iterator[str]:
        """Yield the complete lines there are now, those of rotated files (PATH.1 ...) first."""
        rotated = (self._path.with_name(f"{self._path.name}.{i}") for i in itertools.count(1))
        existing = list(itertools.takewhile(Path.exists, rotated))
        for file in reversed(existing):
            with file.open("rb") as lines:
                yield from (_decoded(line) for line in lines)
        yield from self._complete_lines()

    def all_lines(self) -> Iterator[str]:
        """Yield what :meth:`old_lines` does, and the unfinished last line."""
        yield from self.old_lines()
        if self._partial:
            yield _decoded(self._partial)

    def new_lines(self) -> Iterator[str]:
        """Yield the lines completed since the last call."""
        yield from self._complete_lines()
        if self._moved():
            yield from self._complete_lines()  # what came between reading and moving
            self.close()
            self._file = self._opened()
            self._partial = b""
            yield from self._complete_lines()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _opened(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def _complete_lines(self) -> Iterator[str]:
        for line in self._file or ():
            if line.endswith(b"\n"):
                yield _decoded(self._partial + line)
                self._partial = b""
            else:
                self._partial += line

    def _moved(self) -> bool:
        """Tell whether the path names another file by now, or the file was emptied."""
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        if self._file is None:
            return True
        opened = os.fstat(self._file.fileno())
        return named.st_ino != opened.st_ino or named.st_size < self._file.tell()


def _last(lines: Iterator[str], count: int | None) -> Iterator[str]:
    return lines if count is None else iter(deque(lines, maxlen=count))


def _decoded(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")
