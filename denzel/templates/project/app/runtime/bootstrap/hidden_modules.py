"""Modules of the user's that no ``import`` finds, since another of their name comes first."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from app.runtime.bootstrap.paths import venv_directory

OURS = {"__init__", "app"}


def hidden_modules(project: Path) -> dict[str, str]:
    """Return the files in the project's directory that are never imported, and what is instead."""
    packages = set(_modules_in(*venv_directory().glob("lib/python*/site-packages")))
    hidden = {}
    for name, file in _modules_in(project).items():
        if name in sys.stdlib_module_names:
            hidden[file] = f"Python's own module {name}"
        elif name in packages and name not in OURS:
            hidden[file] = f"the installed package {name}"
    return hidden


def warn_of_hidden_modules(project: Path) -> Iterator[str]:
    """Yield a line for each hidden file."""
    for file, found in hidden_modules(project).items():
        yield f"{file} is never imported: {found} comes first. Rename it if the pipeline needs it"


def _modules_in(*directories: Path) -> dict[str, str]:
    """Return the modules and packages in directories, each with its file's name."""
    files = [path for directory in directories for path in directory.iterdir()]
    modules = {path.stem: path.name for path in files if path.suffix == ".py"}
    packages = {path.name: f"{path.name}/" for path in files if _is_package(path)}
    return {**modules, **packages}


def _is_package(path: Path) -> bool:
    with suppress(OSError):  # a directory that the user who serves may not look into
        return (path / "__init__.py").is_file()
    return False
