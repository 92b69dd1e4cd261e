"""Where things are that preparing a service reads and writes."""

from __future__ import annotations

import os
from pathlib import Path

from app.runtime.bootstrap.version import PROJECT_VARIABLE, current_version, version_directory

RUNTIME_REQUIREMENTS = Path("app/runtime/requirements.txt")
USER_REQUIREMENTS = Path("requirements.txt")
OS_REQUIREMENTS = Path("requirements.sh")
LOCK_FILE = Path("requirements.lock")
ENVIRONMENT_VARIABLE = "DENZEL_ENVIRONMENT"
LOGS = Path(os.environ.get("DENZEL_LOGS", "logs"))
WORKER_LOG = LOGS / "worker.log"
PIP_LOG = LOGS / "requirements.log"


def in_release_image() -> bool:
    """Tell whether this is an image that `denzel build` made: everything is installed in it."""
    return os.environ.get("DENZEL_BACKEND") == "image"


def first_venv() -> Path:
    """Return the first virtual environment of the project; the others lie in it."""
    return Path(os.environ.get("DENZEL_VENV", ".denzel/venv")).absolute()


def venv_directory() -> Path:
    """Return the virtual environment that is used or changed now."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE, "")
    return Path(chosen) if chosen else first_venv()


def writable_project() -> Path:
    """Return the project directory as root may write to it.

    In a container that is a second mount of it, in a place that root alone can reach
    (docker-compose.yml); what the services see is read-only.
    """
    second = os.environ.get("DENZEL_WRITABLE_PROJECT", "")
    if second and Path(second).is_dir():
        return Path(second)
    return Path(os.environ.get(PROJECT_VARIABLE, "")).absolute()


def writable_version() -> Path:
    """Return the directory of this version as root may write to it."""
    return version_directory(writable_project(), current_version())


def os_log(service: str) -> Path:
    """Return the file that holds the output of requirements.sh in one service's container."""
    return LOGS / f"requirements-{service}.log"
