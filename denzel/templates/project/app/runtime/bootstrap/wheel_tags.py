"""For which Pythons a package has wheels, asked of pip when there is none for this one."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.runtime.bootstrap.pins import normalised

SECONDS = 60.0
SKIPPED = re.compile(
    r"(?P<name>[^/\s]+)-(?P<version>[^-/]+)(?:-\d[^-]*)?-(?P<python>[^-/]+)-[^-/]+-"
    r"(?P<platform>[^-/\s]+)\.whl"
)
"""A wheel's file name (PEP 427), at the end of a link."""
PINNED = re.compile(r"(?P<name>[\w.-]+)(?:\[.*\])?\s*(?:===?\s*(?P<version>[\w.+!-]+))?.*")
OLDEST_MINOR = 11
"""Of the Pythons 3 that denzel runs on."""
CPYTHON = re.compile(r"cp3(\d+)")


def other_pythons(python: Path, requirement: str, options: Sequence[str]) -> list[int]:
    """Return the minor versions of the Pythons 3 that have wheels, for this kind of machine.

    ``python`` is one that has pip, ``options`` say where packages are.  Empty when there are none,
    or when pip cannot tell.
    """
    wanted = PINNED.fullmatch(requirement)
    if not wanted:
        return []
    command = [str(python), "-P", "-m", "pip", "index", "versions", "-vv", *options, wanted["name"]]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    links = [line for line in done.stdout.splitlines() if "Skipping link" in line]
    minors = wheels_for(links, wanted["name"], wanted["version"])
    # A package of any version that is built since long is not wanted in its old one with wheels.
    return minors if wanted["version"] or max(minors, default=0) >= OLDEST_MINOR else []


def wheels_for(links: Iterable[str], name: str, version: str | None) -> list[int]:
    """Return the minor versions of Python among a package's wheels that pip skipped."""
    found = set()
    for link in links:
        wheel = SKIPPED.search(link)
        if wheel is None or normalised(wheel["name"]) != normalised(name):
            continue
        if version and wheel["version"] != version:
            continue
        if _fits(wheel["platform"]):
            found |= {int(minor) for minor in CPYTHON.findall(wheel["python"])}
    return sorted(found - {sys.version_info.minor})


def explain_pythons(requirement: str, minors: Sequence[int], *, in_container: bool) -> str:
    """Return what to do about a package whose wheels are for other Pythons."""
    versions = [f"3.{minor}" for minor in minors]
    listed = " and ".join([*([", ".join(versions[:-1])] if versions[1:] else []), versions[-1]])
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    advice = "ask for another version of it"
    if minors[-1] >= OLDEST_MINOR and in_container:
        advice += f", or set BASE_IMAGE=python:{versions[-1]}-slim in .env"
    elif minors[-1] >= OLDEST_MINOR:
        advice += f", or install denzel with Python {versions[-1]}"
    return f"{requirement} has wheels for Python {listed}, and this is Python {here}: {advice}"


def _fits(platforms: str) -> bool:
    """Tell whether a wheel's platform tag is that of this kind of machine."""
    system, _, machine = sysconfig.get_platform().partition("-")
    machine = machine.rpartition("-")[2]
    if platforms == "any":
        return True
    return machine in platforms and ("macosx" if system == "macosx" else system) in platforms
