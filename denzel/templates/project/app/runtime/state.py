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
import time
from contextlib import suppress
from pathlib import Path

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


def write_state(service: str, state: str, detail: str = "", **facts: object) -> None:
    """Record that ``service`` is in ``state``; ``detail`` is one line for a person to read.

    ``facts`` are further fields of the record, for programs.  UP is a first heartbeat, any
    other state forgets those so far.
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
        write_state(service, state, detail, **facts)
        return
    if state == UP:
        beat(service)
    else:
        (directory / f"{service}.beat").unlink(missing_ok=True)


def read_state(path: Path) -> tuple[str, str]:
    """Return the state and detail in a state file; DOWN when there is none."""
    try:
        record = json.loads(_read(path))
        return str(record["state"]), str(record["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return DOWN, ""


def read_facts(path: Path) -> dict[str, object]:
    """Return every field of the record in a state file; none when there is no record."""
    try:
        record = json.loads(_read(path))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


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
