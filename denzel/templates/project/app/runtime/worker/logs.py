"""The worker's log, on its own output and in logs/worker.log: what is logged and printed.

Nothing here raises: a log that cannot be written must not decide the outcome of a prediction.
What is written past Python, by a C library or by a program the pipeline starts, is on the worker's
own output alone.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from app.runtime import logs
from app.runtime.settings import load_settings

LOG_NAME = "worker.log"
LOG_BYTES = 10 * 2**20


class LogFile:
    """A file that several processes append to, made again when it is moved aside or removed."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._descriptor = -1
        self._identity: tuple[int, int] | None = None

    def append(self, text: str) -> None:
        """Write whole lines in one go, so that those of several processes do not mix."""
        with suppress(OSError):
            self._follow()
            os.write(self._descriptor, text.encode(errors="backslashreplace"))

    def _follow(self) -> None:
        """Open the file that has the path's name by now."""
        try:
            found = self._path.stat()
            if (found.st_dev, found.st_ino) == self._identity:
                return
        except FileNotFoundError:
            # Of a version of the project it is a link to the project's own.
            self._path.parent.resolve().mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        opened = os.open(self._path, flags, 0o644)
        if self._identity is not None:
            os.close(self._descriptor)
        status = os.fstat(opened)
        self._descriptor, self._identity = opened, (status.st_dev, status.st_ino)


class LoggedStream(logs.StandIn):
    """Standard output or standard error, copied line by line into the log file."""

    def __init__(self, stream: TextIO, log: LogFile) -> None:
        super().__init__(stream)
        self._log = log
        self._begin_line()
        os.register_at_fork(after_in_child=self._begin_line)

    def _begin_line(self) -> None:
        self._lock = threading.RLock()  # another thread of the parent may have held it at a fork
        self._line = ""

    def write(self, text: str) -> int:
        """Write to the stream at once, to the file what has become a whole line."""
        with self._lock:
            with suppress(OSError):
                self._stream.write(text)
            lines, self._line = logs.whole_lines(self._line + text)
            if lines:
                self._log.append("".join(f"{line}\n" for line in lines))
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal."""
        return self._stream.isatty()


def configure_logging() -> None:
    """Log to stdout (the service's log) and to logs/worker.log, and copy there what is printed.

    An image that was built for release has no such file.
    """
    settings = load_settings()
    if settings.in_release_image:
        _escape_what_cannot_be_shown(sys.stdout, sys.stderr)
    elif not isinstance(sys.stdout, (LoggedStream, logs.PrintedLines)):
        log = LogFile(_log_file())
        sys.stdout = _logged(sys.stdout, log)
        sys.stderr = _logged(sys.stderr, log)
    logs.configure_logging(settings, "denzel")
    for name in ("py.warnings", "celery.worker.control"):
        logging.getLogger(name).addFilter(_concerns_nobody_here)
    if settings.log_level != "debug":
        # Two lines a task would be gigabytes a day; pipeline/run.py logs failures.
        logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
        logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)


def _concerns_nobody_here(record: logging.LogRecord) -> bool:
    """Drop what Celery says of its future with each lost connection, and of revoked requests.

    Those end in denzel's own records, so that it has no result backend to write to is no failure.
    """
    message = record.getMessage()
    return not any(
        each in message
        for each in ("CPendingDeprecationWarning", "No result backend is configured")
    )


def _escape_what_cannot_be_shown(*streams: TextIO) -> None:
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _logged(stream: TextIO, log: LogFile) -> TextIO:
    _escape_what_cannot_be_shown(stream)
    return LoggedStream(stream, log)  # type: ignore[return-value]  # it has what TextIO has


def rotate_log(**_: object) -> None:
    """Move the log file aside when it has grown large; one older file is kept.

    Celery calls it with each heartbeat.
    """
    file = _log_file()
    with suppress(OSError), file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_size <= LOG_BYTES:
            return
        # Several workers may find it large at once; the second must not move the new file, too.
        fcntl.flock(opened, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(opened.fileno()), file.stat()):
            file.replace(file.with_suffix(".log.1"))


def _log_file() -> Path:
    return Path(load_settings().denzel_logs) / LOG_NAME
