"""What pip's words mean, in one line."""

from __future__ import annotations

import re
from collections.abc import Collection

PACKAGE_ADDRESS = re.compile(r"\s*\(from https?://.*\)$")
"""Where an older pip says it found the side of a conflict that it names."""
REQUESTED = "The user requested "
PINNED = "The user requested (constraint) "
UNBUILT = (
    re.compile(r"Failed to build '(?P<name>[^']+)'"),
    re.compile(r"ERROR: Failed building wheel for (?P<name>\S+)"),
    re.compile(r"ERROR: Failed to build (?:installable wheels for .*\()?(?P<name>[\w.-]+)"),
)
COLLECTING = re.compile(r"Collecting (?P<name>[^\s;]+)")
NOT_FOUND = re.compile(
    r"ERROR: No matching distribution found for (?P<name>[^;(]+?)\s*(?:[;(].*)?$"
)


def explain_pip(output: Collection[str], runtime: Collection[str] = ()) -> str:
    """Return one line that says why pip failed, both sides of a conflict named.

    ``runtime`` are the requirements that denzel itself added.
    """
    text = [line.strip() for line in output if line.strip()]
    conflicts = [i for i, line in enumerate(text) if line.startswith("The conflict is caused by")]
    if conflicts:
        sides = []
        for line in text[conflicts[-1] + 1 :]:
            if line.startswith(("To fix this", "Additionally", "ERROR", "hint")):
                break
            sides.append(_side(PACKAGE_ADDRESS.sub("", line), runtime))
        return "requirements.txt conflicts with what denzel itself needs or with itself: " + (
            "; ".join(dict.fromkeys(sides))
        )
    # A package that cannot be built has pip end with a cross, and notes that say nothing.
    for mark in ("ERROR: ", "× "):
        errors = [line.removeprefix(mark) for line in text if line.startswith(mark)]
        if errors:
            return f"pip install failed: {errors[-1]}"
    return f"pip install failed: {(text or ['no output'])[-1]}"


def unavailable_package(output: Collection[str]) -> str:
    """Return the requirement for which pip found no wheel for this Python; empty if none.

    Either it found nothing at all, or it had to build the package and could not.
    """
    text = [line.strip() for line in output if line.strip()]
    for line in text:
        for pattern in (NOT_FOUND, *UNBUILT):
            if found := pattern.match(line):
                return found["name"]
    if any(line.startswith(("× ", "error: subprocess-exited-with-error")) for line in text):
        collected = [found["name"] for line in text if (found := COLLECTING.match(line))]
        return collected[-1] if collected else ""
    return ""


def _side(line: str, runtime: Collection[str]) -> str:
    if line.startswith(PINNED):
        return f"requirements.lock holds {line.removeprefix(PINNED)}"
    if line.startswith(REQUESTED) and line.removeprefix(REQUESTED) in runtime:
        return f"denzel needs {line.removeprefix(REQUESTED)}"
    return line
