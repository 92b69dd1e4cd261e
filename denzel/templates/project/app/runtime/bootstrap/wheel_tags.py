"""For which Pythons a package has wheels, asked of pip when there is none for this one."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

SECONDS = 60.0
SKIPPED = re.compile(
    r"(?P<name>[^/\s]+)-(?P<version>[^-/]+)(?:-\d[^-]*)?-(?P<python>[^-/]+)-[^-/]+-"
    r"(?P<platform>[^-/\s]+)\.whl"
)
"""A wheel's file name (PEP 427), at the end of a link."""
PINNED = re.compile(r"(?P<name>[\w.-]+)(?:\[.*\])?\s*(?:===?\s*(?P<version>[\w.+!-]+))?.*")
CPYTHON = re.compile(r"cp3(\d+)")


def other_pythons(python: Path, requirement: str, options: Sequence[str]) -> list[int]:
    """Return the minor versions of the Pythons 3 that have wheels, for this kind of machine.

    ``python`` is one that has pip, ``options`` say where packages are.  Empty when there are none,
    or when pip cannot tell.
    """
    wanted = PINNED.fullmatch(requirement)
    if not wanted:
        return []
    command = [str(python), "-m", "pip", "index", "versions", "-vv", *options, wanted["name"]]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    links = [line for line in done.stdout.splitlines() if "Skipping link" in line]
    return wheels_for(links, wanted["version"])


def wheels_for(links: Iterable[str], version: str | None) -> list[int]:
    """Return the minor versions of Python among the wheels that pip skipped."""
    found = set()
    for link in links:
        wheel = SKIPPED.search(link)
        if wheel is None or (version and wheel["version"] != version):
            continue
        if _fits(wheel["platform"]):
            found |= {int(minor) for minor in CPYTHON.findall(wheel["python"])}
    return sorted(found - {sys.version_info.minor})


def explain_pythons(minors: Sequence[int], *, in_container: bool) -> str:
    """Return what to do about a package whose wheels are for other Pythons."""
    versions = [f"3.{minor}" for minor in minors]
    listed = " and ".join([*([", ".join(versions[:-1])] if versions[1:] else []), versions[-1]])
    change = (
        f"set BASE_IMAGE=python:{versions[-1]}-slim in .env"
        if in_container
        else f"install denzel with Python {versions[-1]}"
    )
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        f"it has wheels for Python {listed}, and this is Python {here}: ask for another version of "
        f"it, or {change}"
    )


def _fits(platforms: str) -> bool:
    """Tell whether a wheel's platform tag is that of this kind of machine."""
    system, _, machine = sysconfig.get_platform().partition("-")
    machine = machine.rpartition("-")[2]
    if platforms == "any":
        return True
    return machine in platforms and ("macosx" if system == "macosx" else system) in platforms
