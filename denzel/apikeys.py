"""API keys of a project: made here, kept as hashes in ``.env``."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping

from denzel.errors import UsageError
from denzel.project import Project

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def add_key(project: Project, name: str) -> str:
    """Make an API key called ``name``, add its hash to ``.env`` and return it.

    Raises UsageError for a name that cannot be used or is taken.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a key's name: use up to 64 letters, digits, _ . and -, "
            "beginning with a letter or digit"
        )
    known = dict(project.settings.api_keys)
    if name in known:
        raise UsageError(
            f"There is a key called {name} already; choose another name, or remove that one: "
            f"`denzel apikey --remove {name}`"
        )
    key = f"dz_{secrets.token_urlsafe(32)}"
    known[name] = hashlib.sha256(key.encode()).hexdigest()
    _write(project, known)
    return key


def key_names(project: Project) -> list[str]:
    """Return the names of the project's API keys."""
    return [name for name, _ in project.settings.api_keys]


def remove_key(project: Project, name: str) -> None:
    """Take an API key's hash out of ``.env``; raises UsageError when there is none of that name."""
    known = dict(project.settings.api_keys)
    if name not in known:
        names = ", ".join(known) or "none at all"
        raise UsageError(f"There is no key called {name}; there are {names}")
    del known[name]
    _write(project, known)


def _write(project: Project, known: Mapping[str, str]) -> None:
    project.set_environment(API_KEYS=",".join(f"{name}:{known[name]}" for name in known))
