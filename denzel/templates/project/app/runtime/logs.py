"""How the services log: one format for all, as text or as JSON; logging never fails a request.

A line that concerns one task carries its id: given as ``extra=of_task(ID)``, else that of the task
this process predicts for at the moment (``current_task``), so that what a pipeline logs is found.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from .settings import Settings

TEXT_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"
"""As gunicorn has them (gunicorn/glogging.py)."""
FIRST_REPEAT_SECONDS = 10.0
LONGEST_REPEAT_SECONDS = 600.0
LONGEST_LINE = 8192
"""How many characters are printed at most until they are logged, with or without a line's end."""

current_task: ContextVar[str] = ContextVar("current_task", default="")
"""The id of the task that is predicted for; empty when there is none, or there are several."""


def of_task(task_id: str) -> dict[str, str]:
    """Return what names a task to a logger: ``log.info(…, extra=of_task(ID))``."""
    return {"task_id": task_id}


def _task_of(record: logging.LogRecord) -> str:
    return getattr(record, "task_id", "") or current_task.get()


class TextFormatter(logging.Formatter):
    """Lines for people, with the task's id at the end of a message that does not have it."""

    def __init__(self) -> None:
        super().__init__(TEXT_FORMAT, DATE_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without a traceback."""
        line, task_id = super().formatMessage(record), _task_of(record)
        return f"{line} [{task_id}]" if task_id and task_id not in line else line


class JsonFormatter(logging.Formatter):
    """Lines for programs, an object each."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "process": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if task_id := _task_of(record):
            found["task_id"] = task_id
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        # ASCII: whatever reads it need not know its encoding, and no surrogate can break it.
        return json.dumps(found)


class OutputHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the service's output; raises nothing, whatever becomes of it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Show what is wrong with a message, if it can be shown."""
        with suppress(Exception):
            super().handleError(record)


class StandIn(io.TextIOBase):
    """What stands in for a stream such as ``sys.stdout``; subclasses say what writing does."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def writable(self) -> bool:
        """Say yes."""
        return True

    def fileno(self) -> int:
        """Return the stream's descriptor: what is written there passes by this object."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in typeshed
        """The stream's."""
        return self._stream.encoding

    def __getattr__(self, name: str) -> Any:
        """Return what else a stream has, such as its ``buffer``."""
        return getattr(self._stream, name)


def whole_lines(text: str) -> tuple[list[str], str]:
    """Return the lines in a text that have an end, and what follows the last.

    Of a progress bar, which goes back to the line's beginning, that is its last state.
    """
    *lines, rest = text.split("\n")
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in lines]
    return shown, rest[rest.rstrip("\r").rfind("\r") + 1 :]


class PrintedLines(StandIn):
    """Stands in for ``sys.stdout`` or ``sys.stderr``, and logs what is printed line by line."""

    def __init__(self, stream: TextIO, handler: logging.Handler, name: str) -> None:
        super().__init__(stream)
        self._handler = handler
        self._name = name
        self._rest = ""
        self._inside = threading.local()

    def write(self, text: str) -> int:
        """Log the lines that are whole now."""
        if getattr(self._inside, "is_true", False):
            return len(text)  # what is wrong with the output cannot be told on it
        self._inside.is_true = True
        try:
            lines, rest = whole_lines(self._rest + text)
            if len(rest) > LONGEST_LINE:  # a dot for each prediction, say
                lines, rest = [*lines, rest.rstrip("\r")], ""
            self._rest = rest
            for line in filter(None, lines):
                record = logging.LogRecord(self._name, logging.INFO, "", 0, line, None, None)
                self._handler.handle(record)
        finally:
            self._inside.is_true = False
        return len(text)


def make_formatter(settings: Settings, service: str) -> logging.Formatter:
    """Return the formatter that LOG_FORMAT asks for."""
    return JsonFormatter(service) if settings.log_format == "json" else TextFormatter()


def configure_logging(settings: Settings, service: str) -> None:
    """Log messages of LOG_LEVEL and above to stdout, the service's output.

    With LOG_FORMAT=json, what is printed is logged, too.
    """
    output: Any = sys.stdout
    if isinstance(output, PrintedLines):
        output = output._stream
    handler = OutputHandler(output)
    handler.setFormatter(make_formatter(settings, service))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    if settings.log_format == "json" and not isinstance(sys.stdout, PrintedLines):
        sys.stdout = PrintedLines(sys.stdout, handler, "stdout")
        sys.stderr = PrintedLines(sys.stderr, handler, "stderr")


class Outage:
    """Logs that something cannot be reached: at once, then ever less often, and when it is back.

    ``clock`` gives seconds.  It is for one thread.
    """

    def __init__(
        self, log: logging.Logger, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._what = what
        self._clock = clock
        self._since: float | None = None
        self._next = 0.0
        self._pause = FIRST_REPEAT_SECONDS

    def failed(self, error: BaseException) -> None:
        """Take note of a failure."""
        now = self._clock()
        if self._since is None:
            self._since, self._next, self._pause = now, now, FIRST_REPEAT_SECONDS
            self._log.warning("%s cannot be reached: %s", self._what, _shown(error))
        elif now >= self._next:
            self._log.warning(
                "%s cannot be reached for %.0f s now: %s", self._what, now - self._since,
                _shown(error),
            )  # fmt: skip
            self._pause = min(2 * self._pause, LONGEST_REPEAT_SECONDS)
        else:
            return
        self._next = now + self._pause

    def ended(self) -> bool:
        """Take note of a success; return whether there were failures before it."""
        if self._since is None:
            return False
        self._log.info("%s is back after %.0f s", self._what, self._clock() - self._since)
        self._since = None
        return True


def _shown(error: BaseException) -> str:
    return str(error) or type(error).__name__
