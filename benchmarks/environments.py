"""Virtual environments for the servers compared, made once and kept in a cache directory."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from benchmarks import commands
from denzel.templates import TEMPLATES

HERE = Path(__file__).parent
RUNTIME = "runtime"
MODEL_REQUIREMENTS = TEMPLATES / "examples" / "iris" / "requirements.txt"
INSTALL_TIMEOUT_SECONDS = 1800.0


def requirement_files(name: str) -> list[Path]:
    """Return what an environment holds: the server, and the model's libraries beside it.

    The floors run on what a denzel project runs on, in the same versions.
    """
    if name == RUNTIME:
        server = TEMPLATES / "project" / "app" / "runtime" / "requirements.txt"
    else:
        server = HERE / "requirements" / f"{name}.txt"
    return [server, MODEL_REQUIREMENTS]


def environment(name: str, cache: Path) -> Path:
    """Return the environment's directory, made anew when what it shall hold has changed."""
    files = requirement_files(name)
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
