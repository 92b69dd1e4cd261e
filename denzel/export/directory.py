"""The directory that an export is written into: all of it or nothing, and what is yours stays."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from denzel.env_file import PRIVATE, write_atomically
from denzel.errors import ProjectError, UsageError
from denzel.templates import template_files

MARK = ".denzel-export"
"""The file by which a directory is known to hold an export; it says of what kind."""
PLACEHOLDER = re.compile(r"__([A-Z]+(?:_[A-Z]+)*)__")


@dataclass(frozen=True)
class Export:
    """What an export consists of.

    ``files`` maps paths to contents.  ``private`` ones are for their owner alone and kept out of
    version control; ``yours`` are written once and never replaced.
    """

    kind: str
    files: Mapping[str, str]
    private: frozenset[str] = frozenset()
    yours: frozenset[str] = frozenset()


def fill(folder: str, values: Mapping[str, object]) -> dict[str, str]:
    """Return the files of a template folder, their placeholders filled in."""
    return {
        path: PLACEHOLDER.sub(
            lambda found: str(values[found[1]]), source.read_text(encoding="utf-8")
        )
        for path, source in template_files(folder)
    }


def write(export: Export, directory: Path, *, force: bool) -> None:
    """Write an export into a directory that is new or empty; with ``force``, over an older one.

    A new one is there as a whole or not at all; of an older one each file is replaced in one step.
    Raises UsageError for a directory that cannot be used, ProjectError when it cannot be written.
    """
    is_new = _is_new(export.kind, directory, force=force)
    ignored = "".join(f"/{path}\n" for path in sorted(export.private))
    files = {**export.files, ".gitignore": ignored, MARK: f"{export.kind}\n"}
    try:
        if is_new:
            _write_new(export, files, directory)
        else:
            _replace(export, files, directory)
    except OSError as error:
        left = "nothing was left behind" if is_new else "run the command again when it can be"
        raise ProjectError(
            f"{error.filename or directory} could not be written: {error.strerror or error}; {left}"
        ) from error


def _is_new(kind: str, directory: Path, *, force: bool) -> bool:
    """Tell whether the directory is new or empty; raises UsageError for one that is neither."""
    if not os.path.lexists(directory):
        return True
    if not directory.is_dir():
        raise UsageError(f"{directory} is no directory; name another, which denzel makes")
    try:
        if not any(directory.iterdir()):
            return True
        found = (directory / MARK).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise UsageError(f"{directory} is not empty; name another directory") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{directory} cannot be read: {error}") from error
    if found != kind:
        raise UsageError(f"{directory} holds an export for {found}; name another directory")
    if not force:
        raise UsageError(
            f"{directory} holds an export already; --force replaces what denzel wrote there"
        )
    return False


def _write_new(export: Export, files: Mapping[str, str], directory: Path) -> None:
    if directory.exists():
        try:
            _replace(export, files, directory)
        except OSError:
            for path in directory.iterdir():  # it was empty
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as beside:
        built = Path(beside) / directory.name
        _replace(export, files, built)
        built.replace(directory)


def _replace(export: Export, files: Mapping[str, str], directory: Path) -> None:
    for path, content in files.items():
        target = directory / path
        if path in export.yours and target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = PRIVATE if path in export.private else None
        write_atomically(target, content.encode(), mode=mode)
    for folder in _folders(export.private):
        for found in (directory / folder).iterdir():
            if found.relative_to(directory).as_posix() not in export.private:
                found.unlink()  # a secret that is none any more


def _folders(paths: Iterable[str]) -> set[str]:
    """Return the folders that hold nothing but private files."""
    return {Path(path).parts[0] for path in paths if path.startswith("secrets/")}
