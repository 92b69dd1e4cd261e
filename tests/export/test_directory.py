"""An export is written as a whole or not at all, and leaves alone what is not its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from denzel.errors import ProjectError, UsageError
from denzel.export import Export, write
from denzel.templates import template_files

EXPORT = Export(
    "swarm",
    {"stack.yml": "one\n", "overlays/mine.yml": "as made\n", "secrets/TOKEN": "hush"},
    private=frozenset({"secrets/TOKEN"}),
    yours=frozenset({"overlays/mine.yml"}),
)
NEWER = Export(
    "swarm",
    {"stack.yml": "two\n", "overlays/mine.yml": "as made anew\n", "secrets/OTHER": "hush"},
    private=frozenset({"secrets/OTHER"}),
    yours=frozenset({"overlays/mine.yml"}),
)


def found(directory: Path) -> set[str]:
    """Return the files below a directory."""
    paths = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix() for path in paths}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where an export goes: a directory that is not there yet."""
    return tmp_path / "deploy" / "swarm"


@pytest.mark.parametrize("exists", [False, True], ids=["new", "empty"])
def test_secrets_are_for_their_owner_alone_and_not_for_git(directory: Path, exists: bool) -> None:
    if exists:
        directory.mkdir(parents=True)
    write(EXPORT, directory, force=False)
    expected = {*EXPORT.files, ".gitignore", ".denzel-export"}
    assert found(directory) == expected
    assert {path.name for path in directory.parent.iterdir()} == {"swarm"}
    assert (directory / "secrets/TOKEN").stat().st_mode & 0o777 == 0o600
    assert (directory / "stack.yml").stat().st_mode & 0o044 == 0o044
    assert (directory / ".gitignore").read_text() == "/secrets/TOKEN\n"


def test_again_only_with_force_and_what_is_yours_stays(directory: Path) -> None:
    write(EXPORT, directory, force=False)
    (directory / "overlays/mine.yml").write_text("changed\n")
    (directory / "notes.txt").write_text("mine\n")
    with pytest.raises(UsageError, match="--force"):
        write(NEWER, directory, force=False)
    assert (directory / "stack.yml").read_text() == "one\n"
    write(NEWER, directory, force=True)
    assert (directory / "stack.yml").read_text() == "two\n"
    assert (directory / "overlays/mine.yml").read_text() == "changed\n"
    assert (directory / "notes.txt").read_text() == "mine\n"
    assert not (directory / "secrets/TOKEN").exists()  # a secret that is none any more


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_export_is_never_touched(tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis.txt").write_text("years of work\n")
    with pytest.raises(UsageError, match="is not empty"):
        write(EXPORT, tmp_path, force=force)
    with pytest.raises(UsageError, match="is no directory"):
        write(EXPORT, tmp_path / "thesis.txt", force=force)
    assert found(tmp_path) == {"thesis.txt"}


def test_an_export_for_something_else_stays(directory: Path) -> None:
    write(EXPORT, directory, force=False)
    with pytest.raises(UsageError, match="holds an export for swarm"):
        write(Export("kubernetes", {}), directory, force=True)


@pytest.mark.parametrize("exists", [False, True], ids=["new", "empty"])
def test_a_failure_leaves_nothing_behind(directory: Path, exists: bool) -> None:
    if exists:
        directory.mkdir(parents=True)
    impossible = Export("swarm", {**EXPORT.files, "stack.yml/below": "a file is no folder"})
    with pytest.raises(ProjectError, match="nothing was left behind"):
        write(impossible, directory, force=False)
    assert found(directory.parent) == set()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_an_unwritable_place_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ProjectError, match="Permission denied"):
        write(EXPORT, tmp_path / "swarm", force=False)


@pytest.mark.parametrize("folder", ["export/swarm", "export/kubernetes"])
def test_the_templates_have_text_alone(folder: str) -> None:
    names = [path for path, _ in template_files(folder)]
    assert names
    assert all(path.endswith((".yml", ".yaml")) for path in names)
