"""Where things are that preparing a service reads and writes."""

from __future__ import annotations

import os
from pathlib import Path

RUNTIME_REQUIREMENTS = Path("app/runtime/requirements.txt")
USER_REQUIREMENTS = Path("requirements.txt")
OS_REQUIREMENTS = Path("requirements.sh")
LOCK_FILE = Path("requirements.lock")
LOGS = Path(os.environ.get("DENZEL_LOGS", "logs"))
WORKER_LOG = LOGS / "worker.log"
PIP_LOG = LOGS / "requirements.log"


def venv_directory() -> Path:
    """Return the virtual environment the services share."""
    return Path(os.environ.get("DENZEL_VENV", ".denzel/venv")).absolute()


def writable_project() -> Path:
    """Return the project directory as root may write to it.

    In a container that is a second mount of it, in a place that root alone can reach
    (docker-compose.yml); what the services see is read-only.
    """
    second = os.environ.get("DENZEL_WRITABLE_PROJECT", "")
    return Path(second) if second and Path(second).is_dir() else Path.cwd()


def os_log(service: str) -> Path:
    """Return the file that holds the output of requirements.sh in one service's container."""
    return LOGS / f"requirements-{service}.log"
