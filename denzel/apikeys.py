"""API keys of a project: made here, kept as hashes in ``.env``."""

from __future__ import annotations

import hashlib
import re
import secrets

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
            f"There is a key called {name} already; choose another name, or remove that one "
            f"from API_KEYS in {project.env_file}"
        )
    key = f"dz_{secrets.token_urlsafe(32)}"
    known[name] = hashlib.sha256(key.encode()).hexdigest()
    project.set_environment(API_KEYS=",".join(f"{each}:{known[each]}" for each in known))
    return key
