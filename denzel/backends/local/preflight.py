"""Whether this machine can run services as local processes, asked before anything changes."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

from denzel.backends.local.redis_server import find_redis_server
from denzel.errors import EngineError

OLDEST_PYTHON = (3, 11)
SPACE_NEEDED = 300 * 2**20
"""Bytes that the runtime's packages take, unpacked."""


def check_platform() -> None:
    """Raise EngineError unless system and Python are ones the services run on."""
    if not sys.platform.startswith(("linux", "darwin")):
        raise EngineError(
            f"Local processes need Linux or macOS, not {platform.system()}; use `--docker`, or "
            "run denzel in the Windows Subsystem for Linux"
        )
    version = tuple(int(part) for part in platform.python_version_tuple()[:2])
    if version < OLDEST_PYTHON:
        raise EngineError(
            f"Python {platform.python_version()} is too old; install denzel with Python 3.11 or "
            "newer"
        )


def check_programs(*, redis: bool = True) -> None:
    """Raise EngineError when something the services need, ``redis`` among it, is not installed."""
    if shutil.which("bash") is None:
        raise EngineError("bash is not on PATH; the services are started with it: install bash")
    if not (_importable("venv") and _importable("ensurepip")):
        package = "python{}.{}-venv".format(*sys.version_info)
        raise EngineError(
            f"This Python cannot make virtual environments; on Debian and Ubuntu install them "
            f"with `sudo apt install {package}`"
        )
    if not _importable("supervisor"):
        raise EngineError(
            'supervisor is not installed; run `python3 -m pip install "denzel[local]"`'
        )
    if redis:
        find_redis_server()


def check_disk(root: Path, *, installs: bool) -> None:
    """Raise EngineError when the project cannot be written to, or has too little space.

    ``installs``: the virtual environment is still to be made.
    """
    if not os.access(root, os.W_OK | os.X_OK):
        raise EngineError(f"{root} cannot be written to; denzel keeps its files in it")
    free = shutil.disk_usage(root).free
    if installs and free < SPACE_NEEDED:
        raise EngineError(
            f"Only {free // 2**20} MB are free where {root} lies; the services' packages need "
            f"{SPACE_NEEDED // 2**20} MB: free some space, or move the project"
        )


def holds_commands(script: Path) -> bool:
    """Tell whether a shell script holds anything but comments and blank lines."""
    try:
        lines = script.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return False
    return any(line.strip() and not line.strip().startswith("#") for line in lines)


def _importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
