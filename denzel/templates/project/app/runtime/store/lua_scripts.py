"""Load the Lua scripts in ``lua/``, each with the parts that it names.

A line ``-- include: NAME`` in a script stands for the file ``lua/NAME.lua``.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

Argument = str | bytes | float
"""What a script or a command is given."""

DIRECTORY = Path(__file__).with_name("lua")
_INCLUDE = re.compile(r"^-- include: ([a-z_]+)$", re.MULTILINE)


@cache
def load_script(name: str) -> str:
    """Return the source of ``lua/NAME.lua`` with its includes in place, each once.

    What an included file includes itself comes before it.
    """
    included: set[str] = set()

    def expand(part: str) -> str:
        included.add(part)
        source = (DIRECTORY / f"{part}.lua").read_text(encoding="utf-8")
        return _INCLUDE.sub(
            lambda found: "" if found[1] in included else expand(found[1]).rstrip("\n"), source
        )

    return expand(name)


@cache
def script_digest(name: str) -> str:
    """Return what Redis knows a script by that it was sent before (EVALSHA)."""
    return hashlib.sha1(load_script(name).encode()).hexdigest()
