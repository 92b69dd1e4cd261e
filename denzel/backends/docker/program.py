"""Which Docker Compose this machine has: the plugin, or the standalone program."""

from __future__ import annotations

import re
from dataclasses import dataclass

from denzel import process
from denzel.errors import CommandError, EngineError

OLDEST_VERSION = (2, 20)
PROGRAMS = (("docker", "compose"), ("docker-compose",))
VERSION_SECONDS = 30.0
HOW_TO_INSTALL = (
    "install the package docker-compose-plugin (https://docs.docker.com/compose/install/), or "
    "run without Docker: `denzel launch --local`"
)


@dataclass(frozen=True)
class ComposeProgram:
    """How to call Compose, and which version answers."""

    argv: tuple[str, ...]
    version: str


def find_compose() -> ComposeProgram:
    """Return the first Compose that is new enough, the plugin before the standalone program.

    Raises EngineError when there is none, or only too old ones.
    """
    too_old = []
    for argv in PROGRAMS:
        version = _version(argv)
        if version is None:
            continue
        if version_numbers(version) >= OLDEST_VERSION:
            return ComposeProgram(argv, version)
        too_old.append(f"`{' '.join(argv)}` is version {version}")
    if too_old:
        oldest = ".".join(str(number) for number in OLDEST_VERSION)
        raise EngineError(
            f"Docker Compose is too old: {', '.join(too_old)}, denzel needs {oldest} or newer; "
            f"{HOW_TO_INSTALL}"
        )
    raise EngineError(f"Docker Compose is not installed; {HOW_TO_INSTALL}")


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``v2.26.1-4`` gives (2, 26, 1)."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(number) for number in found[1].split(".")) if found else ()


def _version(argv: tuple[str, ...]) -> str | None:
    try:
        output = process.run([*argv, "version", "--short"], timeout=VERSION_SECONDS)
    except (EngineError, CommandError):
        # docker without the plugin fails with one of several messages, by its version.
        return None
    version = output.decode(errors="replace").strip()
    return version if version_numbers(version) else None
