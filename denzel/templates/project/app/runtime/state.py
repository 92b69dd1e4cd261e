"""How a service tells ``denzel status`` what it is doing: small files in ``$DENZEL_RUN_DIR``.

``SERVICE.json`` holds ``{"state": …, "detail": …}``; the worker's own state stands in
``worker.json``.  ``SERVICE.beat`` holds the time of the service's last heartbeat, by the clock
that all processes of a machine share (``time.monotonic``; setting the time of day does not move
it).  What both mean together is decided in ``health.py``.

The standard library alone is used, and relative imports alone: the first states are written before
any package is installed, and ``denzel`` imports this module, too.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .settings import run_directory

MOST_BYTES = 64 * 1024
ROUNDING_SECONDS = 1.0

UP = "UP"
DOWN = "DOWN"
STARTING = "STARTING..."
PIP_INSTALLING = "PIP INSTALLING..."
OS_COMMANDS = "OS COMMANDS..."
LOADING = "LOADING..."
ERROR = "ERROR"

WORKER = "worker"


def write_state(
    service: str, state: str, detail: str = "", *, beats: bool = True, **facts: object
) -> None:
    """Record that ``service`` is in ``state``; ``detail`` is one line for a person to read.

    ``facts`` are further fields of the record, for programs.  UP is a first heartbeat, any
    other state forgets those so far, unless ``beats`` is False: then only facts have changed.
    """
    directory = Path(run_directory())
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".{service}.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    # Root writes here, too, where the user who serves may have put a link.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps({"state": state, "detail": detail, **facts}))
    try:
        temporary.replace(directory / f"{service}.json")
    except FileNotFoundError:  # the directory was turned meanwhile (bootstrap/run_directories.py)
        write_state(service, state, detail, beats=beats, **facts)
        return
    if not beats:
        return
    if state == UP:
        beat(service)
    else:
        (directory / f"{service}.beat").unlink(missing_ok=True)


def stay_in_error(service: str, reason: str, seconds: float | None = None) -> None:
    """Show ERROR until the service is told to stop, or for so many seconds.

    Then it should end, so that whoever started it tries again.
    """
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with suppress(OSError):  # which may be the reason
        write_state(service, ERROR, reason)
    stopped.wait(seconds)


def read_record(path: Path) -> dict[str, Any]:
    """Return what a state file holds, state and detail at least; DOWN when there is none."""
    try:
        record = json.loads(_read(path))
        return {**record, "state": str(record["state"]), "detail": str(record["detail"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"state": DOWN, "detail": ""}


def read_state(path: Path) -> tuple[str, str]:
    """Return the state and detail in a state file; DOWN when there is none."""
    record = read_record(path)
    return record["state"], record["detail"]


def beat(service: str) -> None:
    """Record that ``service`` works at this moment; to be called every few seconds while it does.

    Never raises: a heartbeat that cannot be written is one that is missed.
    """
    path = Path(run_directory()) / f"{service}.beat"
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            # Always as long as the last one, and not truncated: a reader finds a whole one, and a
            # full disk does not matter.
            os.pwrite(descriptor, f"{time.monotonic():020.3f}\n".encode(), 0)
        finally:
            os.close(descriptor)


def seconds_since_beat(path: Path) -> float | None:
    """Return the age of the heartbeat in a file; None when there never was one.

    One that was left behind before the machine's last start has an infinite age.
    """
    try:
        age = time.monotonic() - float(_read(path))
    except (OSError, ValueError):
        return None
    return max(age, 0.0) if age > -ROUNDING_SECONDS else float("inf")


def _read(path: Path) -> str:
    """Return the text of a file that a service made: follow no link, wait for no pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(descriptor, MOST_BYTES).decode("utf-8")
    finally:
        os.close(descriptor)
