"""Make a new project from the templates, all of it or nothing."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from denzel import __version__
from denzel.errors import ProjectError, UsageError
from denzel.project import Manifest, Project
from denzel.settings import (
    PROJECT_NAME_PATTERN,
    new_secrets,
    project_values,
    render_env,
    render_secrets,
)
from denzel.templates import NO_EXAMPLE, example_names, template_files

USER_FILES = {
    "app/logic/pipeline.py": "check requests, load the model, predict",
    "app/assets/info.txt": "what GET /info answers",
    "requirements.txt": "the Python packages that the model needs",
    "requirements.sh": "commands that install anything else (in Docker)",
}
"""What the user edits, and what for: written once by startproject, never touched again."""
GPU_FILE = "docker-compose.override.yml"
"""What a project for GPUs has, and another has not."""


def start_project(
    parent: Path, name: str, *, gpu: bool = False, example: str = NO_EXAMPLE
) -> Project:
    """Write the skeleton of a project called ``name`` into ``parent``; return the project.

    It is written beside its place and then moved there, so that a failure leaves nothing.
    Raises UsageError for a name or example that cannot be used, ProjectError when the directory
    exists or cannot be written.
    """
    validate_name(name)
    if example not in example_names():
        raise UsageError(f"There is no example {example!r}; there are {', '.join(example_names())}")
    target = parent / name
    if os.path.lexists(target):
        raise ProjectError(f"{target} exists already; choose another name, or remove it first")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=parent) as temporary:
            built = Path(temporary) / name
            _write_skeleton(built, name, gpu=gpu, example=example)
            built.rename(target)
    except OSError as error:
        raise ProjectError(
            f"{target} could not be written: {error.strerror or error}; nothing was left behind"
        ) from error
    return Project(target)


def validate_name(name: str) -> None:
    """Raise UsageError unless Docker Compose and this machine can use ``name``."""
    if not PROJECT_NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a project's name: use lower-case letters, digits, _ and -, "
            "beginning with a letter or digit"
        )


def owned_files(*, gpu: bool) -> dict[str, Path]:
    """Return what denzel keeps up to date in a project: relative path to template file."""
    files = dict(template_files("project"))
    if gpu:
        files.update(template_files("gpu"))
    return {path: source for path, source in files.items() if path not in USER_FILES}


def write_owned_file(destination: Path, source: Path) -> str:
    """Copy a template file byte for byte, programs executable; return its SHA-256."""
    content = source.read_bytes()
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_bytes(content)
    if content.startswith(b"#!"):
        # Installers may drop the execute bit, so it is not taken from the template's file.
        destination.chmod(destination.stat().st_mode | 0o111)
    return digest(content)


def digest(content: bytes) -> str:
    """Return the SHA-256 of a text file's content, as the manifest holds it.

    Line ends make no difference: a checkout on Windows may have changed them.
    """
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def _write_skeleton(root: Path, name: str, *, gpu: bool, example: str) -> None:
    root.mkdir()
    owned = owned_files(gpu=gpu)
    hashes = {path: write_owned_file(root / path, source) for path, source in owned.items()}
    for path, source in template_files("project"):
        if path in USER_FILES:
            write_owned_file(root / path, source)
    if example != NO_EXAMPLE:
        for path, source in template_files(f"examples/{example}"):
            write_owned_file(root / path, source)
    project = Project(root)
    values = project_values(name, gpu=gpu)
    project.env_file.write_text(render_env(values), encoding="utf-8")
    project.write_secrets(render_secrets(new_secrets(values)))
    project.write_manifest(Manifest(version=__version__, files=hashes))
