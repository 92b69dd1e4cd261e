"""An upgrade replaces what denzel wrote, and never loses what the user did."""

from __future__ import annotations

import pytest

from denzel import __version__
from denzel.project import Manifest, Project
from denzel.scaffold import USER_FILES, digest
from denzel.upgrade import upgrade

FILE = "app/tasks.py"


@pytest.fixture
def old(project: Project) -> Project:
    """A project that an older denzel made, with another tasks.py and a file that is gone."""
    files = dict(project.manifest.files)
    for path in (FILE, "app/retired.py"):
        (project.root / path).write_bytes(b"old")
        files[path] = digest(b"old")
    project.write_manifest(Manifest("0.9.0", files, "local"))
    return project


def test_a_current_project_stays_as_it_is(project: Project) -> None:
    result = upgrade(project)
    assert (result.replaced, result.added, result.removed, result.conflicts) == ([], [], [], [])


def test_unchanged_files_are_replaced_and_retired_ones_go(old: Project) -> None:
    result = upgrade(old)
    assert result.replaced == [FILE]
    assert result.removed == ["app/retired.py"]
    assert (old.root / FILE).read_bytes() != b"old"
    assert (old.manifest.version, old.manifest.backend) == (__version__, "local")


def test_a_file_the_user_changed_stays_beside_the_new_one(old: Project) -> None:
    (old.root / FILE).write_bytes(b"mine")
    (old.root / "app/retired.py").write_bytes(b"mine")
    assert upgrade(old).conflicts == [FILE]
    assert (old.root / FILE).read_bytes() == b"mine"
    assert digest((old.root / f"{FILE}.new").read_bytes()) == old.manifest.files[FILE]
    assert (old.root / "app/retired.py").exists()


def test_a_conflict_is_told_once(old: Project) -> None:
    (old.root / FILE).write_bytes(b"mine")
    upgrade(old)
    (old.root / f"{FILE}.new").unlink()
    assert upgrade(old).conflicts == []
    assert not (old.root / f"{FILE}.new").exists()


def test_a_missing_file_comes_back(project: Project) -> None:
    (project.root / "entrypoints/api.sh").unlink()
    assert upgrade(project).added == ["entrypoints/api.sh"]
    assert (project.root / "entrypoints/api.sh").stat().st_mode & 0o111


def test_the_users_files_are_never_touched(old: Project) -> None:
    for path in USER_FILES:
        (old.root / path).write_text("mine")
    upgrade(old)
    assert {(old.root / path).read_text() for path in USER_FILES} == {"mine"}


def test_new_settings_are_added_and_others_kept(project: Project) -> None:
    project.env_file.write_text("PROJECT_NAME=shop\nAPI_PORT=8123\n")
    project.forget()
    added = upgrade(project).added
    assert ".env: MONITOR_PORT" in added
    assert ".env: API_PORT" not in added
    assert project.settings.api_port == 8123
    assert project.env_file.read_text().startswith("PROJECT_NAME=shop\nAPI_PORT=8123\n")
