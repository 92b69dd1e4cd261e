"""What a requirements file and the files it names hold, as far as it matters before pip reads it.

The format is pip's (pip.pypa.io/en/stable/reference/requirements-file-format).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

NESTED = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s*)(?P<name>[^\s=].*)")
INDEX_OPTIONS = re.compile(
    r"(?P<option>-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)"
    r"(?:\s*=\s*|\s*)(?P<value>[^\s=]\S*)"
)
COMMENT = re.compile(r"(?:^|\s)#.*$")


def all_files(file: Path) -> list[Path]:
    """Return a requirements file and those it names by ``-r`` and ``-c``, each once.

    A file that is not there is named, too; one behind a URL is not.
    """
    found: list[Path] = []
    waiting = [file]
    while waiting:
        path = waiting.pop(0)
        if path not in found:
            found.append(path)
            waiting += _named_files(path)
    return found


def requirement_lines(file: Path) -> list[str]:
    """Return the lines of one file that ask for a package: no options, no comments."""
    return [line for line in _lines(file) if not line.startswith("-")]


def asks_for_anything(file: Path) -> bool:
    """Tell whether pip would have anything to do with a file."""
    return any(True for _ in _lines(file))


def index_options(file: Path) -> list[str]:
    """Return the options in a file and those it names that say where packages come from."""
    options: list[str] = []
    for path in all_files(file):
        for line in _lines(path):
            if line == "--no-index":
                options.append(line)
            elif found := INDEX_OPTIONS.fullmatch(line):
                options += [found["option"], found["value"]]
    return options


def digest_of(files: Iterable[Path]) -> str:
    """Return a digest of requirement files that is the same on every machine.

    Line ends do not count: version control may change them.
    """
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes() if file.is_file() else b""
        digest.update(content.replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:16]


def _named_files(file: Path) -> Iterator[Path]:
    for line in _lines(file):
        found = NESTED.fullmatch(line)
        if found and "://" not in found["name"]:
            # Without the detours, so that files that name each other are read once.
            yield Path(os.path.normpath(file.parent / found["name"].strip("\"'")))


def _lines(file: Path) -> Iterator[str]:
    """Yield the lines that hold anything, continued ones joined, comments gone."""
    if not file.is_file():
        return
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if stripped := COMMENT.sub("", line).strip():
            yield stripped
