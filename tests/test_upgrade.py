"""An upgrade replaces what denzel wrote, and never loses what the user did."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys

import pytest

from denzel import __version__
from denzel.project import Manifest, Project
from denzel.scaffold import USER_FILES, digest
from denzel.upgrade import UpgradeResult, plan_upgrade

FILE = "app/tasks.py"


def upgrade(project: Project) -> UpgradeResult:
    """Do what an upgrade plans."""
    planned = plan_upgrade(project)
    planned.changes.apply()
    project.forget()
    return planned.result


@pytest.fixture
def old(project: Project) -> Project:
    """A project that an older denzel made, with another tasks.py and a file that is gone."""
    files = dict(project.manifest.files)
    for path in (FILE, "app/retired.py"):
        (project.root / path).write_bytes(b"old")
        files[path] = digest(b"old")
    project.write_manifest(Manifest("0.9.0", files))
    return project


def test_a_current_project_stays_as_it_is(project: Project) -> None:
    result = upgrade(project)
    assert (result.replaced, result.added, result.removed, result.conflicts) == ([], [], [], [])


def test_unchanged_files_are_replaced_and_retired_ones_go(old: Project) -> None:
    result = upgrade(old)
    assert result.replaced == [FILE]
    assert result.removed == ["app/retired.py"]
    assert (old.root / FILE).read_bytes() != b"old"
    assert old.manifest.version == __version__


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


def test_secrets_move_out_of_the_file_that_travels(project: Project) -> None:
    """As in a project of the first 1.0.0, whose .env held everything."""
    project.secrets_file.unlink()
    secret = "whsec_" + "A" * 32
    project.env_file.write_text(
        "# mine\nPROJECT_NAME=shop\n\n# signs\n"
        f"CALLBACK_SECRET={secret}\nREDIS_PASSWORD=\nTOKEN=1\n"
    )
    project.forget()
    result = upgrade(project)
    moved, own = result.notes
    assert moved == "Moved CALLBACK_SECRET from .env to .env.secrets"
    assert own.endswith(
        "if any of these lines of your own is a secret, move it to .env.secrets: TOKEN"
    )
    text = project.env_file.read_text()
    assert text.startswith(
        "# mine\nPROJECT_NAME=shop\n\n# signs\n# CALLBACK_SECRET stands in .env.secrets\n"
        "# REDIS_PASSWORD stands in .env.secrets\nTOKEN=1\n"
    )
    assert secret not in text
    assert project.settings.callback_secret == secret
    assert project.settings.redis_password
    assert stat.S_IMODE(project.secrets_file.stat().st_mode) == 0o600


def test_a_gitignore_that_lets_secrets_through_is_told(project: Project) -> None:
    """As one of the first 1.0.0, which named .env, and to which the user added a line."""
    ignored = project.root / ".gitignore"
    ignored.write_text(".env\n.denzel/\ndata/\n")
    assert [note for note in upgrade(project).notes if "add the line .env.secrets*" in note]
    ignored.write_text("data/\n/.env.secrets\n")
    assert upgrade(project).notes == []


def test_a_missing_env_is_made_anew_and_what_that_means_is_said(project: Project) -> None:
    project.env_file.unlink()
    result = upgrade(project)
    assert ".env" in result.added
    assert "the API answers everybody" in result.notes[0]
    assert project.settings.project_name == project.root.name


def test_without_a_readable_manifest_changed_files_are_taken_for_the_users(old: Project) -> None:
    (old.root / ".denzel.json").write_text("<<<<<<< HEAD\n")
    assert upgrade(old).conflicts == [FILE]
    assert (old.root / FILE).read_bytes() == b"old"
    assert old.manifest.version == __version__


def test_line_ends_of_windows_are_no_change(project: Project) -> None:
    for path in ("entrypoints/api.sh", FILE):
        file = project.root / path
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    result = upgrade(project)
    assert (result.replaced, result.conflicts) == ([], [])


def test_a_full_disk_changes_nothing(old: Project) -> None:
    before = {path: path.read_bytes() for path in old.root.rglob("*") if path.is_file()}
    script = """
import resource, signal, sys
from pathlib import Path
from denzel.project import Project
from denzel.upgrade import plan_upgrade
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
changes = plan_upgrade(Project(Path(sys.argv[1]))).changes
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    changes.apply()
except OSError as error:
    print(error)
"""
    command = [sys.executable, "-c", script, str(old.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert os.strerror(errno.EFBIG) in done.stdout
    assert before == {path: path.read_bytes() for path in old.root.rglob("*") if path.is_file()}
