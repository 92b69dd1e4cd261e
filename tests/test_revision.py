"""What git knows of a project."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from denzel.revision import find_revision


def git(directory: Path, *arguments: str) -> str:
    """Run git as somebody."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(
        ["git", "-C", str(directory), *identity, *arguments], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a project in a subdirectory."""
    (tmp_path / "iris").mkdir()
    (tmp_path / "iris" / "file").write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_clean_project_is_its_commit(repository: Path) -> None:
    (repository / "beside").write_text("not the project's")
    found = find_revision(repository / "iris")
    assert found is not None
    assert found.hash == git(repository, "rev-parse", "HEAD")
    assert found.hash.startswith(found.description)
    assert str(found.committed) == git(repository, "log", "-1", "--format=%ct")


def test_a_tag_names_it(repository: Path) -> None:
    git(repository, "tag", "v1.4")
    found = find_revision(repository / "iris")
    assert found is not None and found.description == "v1.4"


@pytest.mark.parametrize("name", ["file", "new"])
def test_changes_and_new_files_show(repository: Path, name: str) -> None:
    (repository / "iris" / name).write_text("2")
    found = find_revision(repository / "iris")
    assert found is not None
    assert found.hash.endswith("-dirty") and found.description.endswith("-dirty")


def test_without_git_or_a_commit_there_is_none(tmp_path: Path) -> None:
    assert find_revision(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert find_revision(tmp_path) is None
