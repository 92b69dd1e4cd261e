"""How a service tells ``denzel status`` what it is doing: one small file each.

``$DENZEL_RUN_DIR/SERVICE.json`` holds ``{"state": …, "detail": …}``; the worker's own state
stands in ``worker.json``.  The standard library alone is used: the first states are written
before any package is installed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from app.runtime.settings import load_settings

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

    ``facts`` are further fields of the record, for programs.
    """
    directory = Path(load_settings().denzel_run_dir)
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".{service}.{os.getpid()}"
    temporary.write_text(json.dumps({"state": state, "detail": detail, **facts}), encoding="utf-8")
    temporary.replace(directory / f"{service}.json")


def read_state(path: Path) -> tuple[str, str]:
    """Return the state and detail in a state file; DOWN when there is none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record["state"], record["detail"]
    except (OSError, ValueError, KeyError):
        return DOWN, ""
