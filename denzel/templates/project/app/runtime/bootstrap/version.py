"""The version of the project that services run: a copy that ``denzel`` made of it.

``.denzel/version`` holds the number of the version that serves, ``.denzel/versions/N`` its files
and ``.denzel/versions/N.json`` its settings.  Where there is none, as in a project that was never
launched by ``denzel``, services run from the project's own directory.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

POINTER = Path(".denzel/version")
VERSIONS = Path(".denzel/versions")
PROJECT_VARIABLE = "DENZEL_PROJECT"
VERSION_VARIABLE = "DENZEL_VERSION"


def served_version(project: Path) -> int:
    """Return the number of the version that serves; 0 when there is none."""
    try:
        number = int((project / POINTER).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
    return number if (project / VERSIONS / str(number)).is_dir() else 0


def enter_version(number: int | None = None) -> None:
    """Go into a version's directory, with its settings; by default that of the one that serves.

    0 is the project's own directory.  The environment may name another default.
    """
    project = Path(os.environ.setdefault(PROJECT_VARIABLE, str(Path.cwd())))
    if number is None:
        number = current_version() if VERSION_VARIABLE in os.environ else served_version(project)
    os.environ[VERSION_VARIABLE] = str(number)
    os.chdir(version_directory(project, number))
    os.environ.update(settings_of(project, number))


def version_directory(project: Path, number: int) -> Path:
    """Return where a version's files are."""
    return project / VERSIONS / str(number) if number else project


def current_version() -> int:
    """Return the number of the version this process is in."""
    return int(os.environ.get(VERSION_VARIABLE, "0"))


def settings_of(project: Path, number: int) -> dict[str, str]:
    """Return the settings that a version brings along.

    The user who serves may not be allowed to read them; a service has got them by then.
    """
    path = project / VERSIONS / f"{number}.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError):
        return {}
    return {str(name): str(value) for name, value in settings.items()}
