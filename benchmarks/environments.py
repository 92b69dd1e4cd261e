"""Virtual environments for the servers compared, made once and kept in a cache directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import commands
from denzel.templates import TEMPLATES

HERE = Path(__file__).parent
RUNTIME = "runtime"
MODEL_REQUIREMENTS = TEMPLATES / "examples" / "iris" / "requirements.txt"
INSTALL_TIMEOUT_SECONDS = 1800.0


def requirement_files(name: str, model: Path = MODEL_REQUIREMENTS) -> list[Path]:
    """Return what an environment holds: the server, and the model's libraries beside it.

    The floors run on what a denzel project runs on, in the same versions.
    """
    if name == RUNTIME:
        server = TEMPLATES / "project" / "app" / "runtime" / "requirements.txt"
    else:
        server = HERE / "requirements" / f"{name}.txt"
    return [server, model]


def environment(name: str, cache: Path, model: Path = MODEL_REQUIREMENTS) -> Path:
    """Return the directory of a server's environment with the model's libraries."""
    return installed(name, requirement_files(name, model), cache)


def installed(name: str, files: Sequence[Path], cache: Path) -> Path:
    """Return an environment's directory, made anew when what it shall hold has changed."""
    wanted = sys.version + "".join(file.read_text(encoding="utf-8") for file in files)
    directory = cache / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    complete = directory / "complete"
    if complete.exists():
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    commands.run([sys.executable, "-m", "venv", str(directory)])
    install = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    options = [option for file in files for option in ("--requirement", str(file))]
    commands.run(
        [*install, "--disable-pip-version-check", *options], timeout=INSTALL_TIMEOUT_SECONDS
    )
    complete.touch()
    return directory


def default_cache() -> Path:
    """Return where this user's caches are."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "denzel-benchmarks"
