"""requirements.lock: the exact versions that were installed for the user's requirements.

It is written beside requirements.txt after an installation and read as constraints by later ones,
until requirements.txt, or a file it names, changes.  A first line says what it was made for; made
for another Python or kind of machine, it is neither used nor replaced.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import Distribution, distributions
from pathlib import Path

from app.runtime.bootstrap.paths import (
    LOCK_FILE,
    USER_REQUIREMENTS,
    writable_project,
    writable_version,
)
from app.runtime.bootstrap.privileges import give_to_owner
from app.runtime.bootstrap.requirement_files import all_files, digest_of

HEADER = """\
# For {where}, requirements {digest}.
# Written by denzel: the versions installed for requirements.txt. They are installed again until
# requirements.txt changes; `denzel updatepipreqs` takes newer ones.
"""
FIRST_LINE = re.compile(r"# For (?P<where>.+), requirements (?P<digest>[0-9a-f]+)\.")
NAME = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[(?P<extras>[^\]]*)\])?")
EXTRA = re.compile(r""";.*\bextra\s*==\s*['"](?P<extra>[^'"]+)['"]""")
NOT_PINNED = {"pip", "setuptools", "wheel"}


def usable_lock() -> Path | None:
    """Return the file with the versions to install; None when there is none for this case."""
    found = _read_header()
    return LOCK_FILE if found == (_here(), _user_digest()) else None


def installed_versions(venv: Path) -> dict[str, str]:
    """Return the version of each package in a virtual environment, by its normalised name."""
    return {normalised(found.metadata["Name"]): found.version for found in _distributions(venv)}


def normalised(name: str) -> str:
    """Return a package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def write_lock(venv: Path, runtime: Iterable[str]) -> None:
    """Write down what is installed, but for ``runtime``'s requirements and what they need.

    Denzel pins those, and they change with it.  A project that cannot be written to has no lock.
    """
    found = _read_header()
    if found and found[1] == _user_digest() and found[0] != _here():
        return  # the one of another Python, for the same requirements
    left_out = NOT_PINNED | _needed_by(venv, runtime)
    versions = sorted(installed_versions(venv).items())
    pins = [f"{name}=={version}\n" for name, version in versions if name not in left_out]
    text = HEADER.format(where=_here(), digest=_user_digest()) + "".join(pins)
    with suppress(OSError):
        if pins and _current() != text:
            _replace(writable_version() / LOCK_FILE.name, text)
            # The project's own may ask for something else since this version was made.
            if digest_of(all_files(writable_project() / USER_REQUIREMENTS)) == _user_digest():
                _replace(writable_project() / LOCK_FILE.name, text)


def _needed_by(venv: Path, requirements: Iterable[str]) -> set[str]:
    """Return the names in some requirements, and of all that these need in turn.

    What an extra needs counts where the extra is asked for.
    """
    requires = {
        normalised(found.metadata["Name"]): found.requires or () for found in _distributions(venv)
    }
    needed: set[str] = set()
    seen: set[str] = set()
    waiting = list(requirements)
    while waiting:
        line = waiting.pop()
        found = NAME.match(line)
        if not found or line in seen:
            continue
        seen.add(line)
        needed.add(normalised(found["name"]))
        extras = [extra.strip() for extra in (found["extras"] or "").split(",")]
        for further in requires.get(normalised(found["name"]), ()):
            wanted = EXTRA.search(further)
            if wanted is None or wanted["extra"] in extras:
                waiting.append(further)
    return needed


def _distributions(venv: Path) -> Iterator[Distribution]:
    site = [str(path) for path in venv.glob("lib/python*/site-packages")]
    return (found for found in distributions(path=site) if found.metadata["Name"])


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    give_to_owner(descriptor)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _current() -> str:
    try:
        return LOCK_FILE.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _read_header() -> tuple[str, str] | None:
    found = FIRST_LINE.match(_current())
    return (found["where"], found["digest"]) if found else None


def _here() -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"Python {version} on {sys.platform} {platform.machine()}"


def _user_digest() -> str:
    return digest_of(all_files(USER_REQUIREMENTS))
