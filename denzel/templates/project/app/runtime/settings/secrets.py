"""``.env.secrets``: the secrets of a project, which stay out of version control.

Local services get them from denzel, with everything else.  In a container Compose cannot pass them
on, since it refuses to start where a file of variables is missing, as this one is in a clone.  So
the service reads the file itself, as root, and leaves a copy for what is started beside it, such as
its health check.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

FILE = ".env.secrets"
COPY = ".secrets.json"
"""In the run directory; its name keeps it from being taken for a service's state."""

LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*=[ \t]*
    (?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<plain>.*?))(?:(?:\s+|^)\#.*)?\s*""",
    re.VERBOSE,
)


def read_secrets(path: Path) -> dict[str, str]:
    """Return what a file of ``NAME=value`` lines sets; nothing where there is no such file.

    Blank lines and comments are passed over, as is what is neither, which ``denzel`` refuses.
    Raises OSError for a file that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    found = (LINE.fullmatch(line) for line in text.splitlines())
    return {
        line["name"]: line["single"] or line["double"] or line["plain"] or ""
        for line in found
        if line
    }


def completed(environment: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` with each secret that it does not set to something itself."""
    added = {name: text for name, text in secrets.items() if not environment.get(name)}
    return {**environment, **added}


def write_copy(directory: str, secrets: Mapping[str, str], user: int) -> None:
    """Leave a copy of the secrets that only the process with this user id can read."""
    copy = Path(directory) / COPY
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.unlink(missing_ok=True)
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(dict(secrets), file)
        os.fchown(descriptor, user, -1)


def read_copy(directory: str) -> dict[str, str]:
    """Return the secrets of a copy; nothing where there is none, or none for this user."""
    try:
        found = json.loads((Path(directory) / COPY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): str(text) for name, text in found.items()}
