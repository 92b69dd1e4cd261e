"""How modules are run: nothing in the project's directory stands in for another module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .service import bare_environment
from .template import copy_template

PROBE = """
import json, queue, types, sys
import redis, app, own
print([module.__file__ for module in (json, queue, types, redis, app, own)], sys.argv[1:])
"""
MINE = "raise SystemExit('taken from ' + __file__)"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A project whose user keeps modules in its directory that are named like others."""
    copy_template(tmp_path / "project", None)
    for name in ("json", "queue", "types", "redis", "runpy", "pathlib"):
        (tmp_path / "project" / f"{name}.py").write_text(MINE)
    (tmp_path / "project" / "own.py").touch()
    (tmp_path / "project" / "app" / "probe.py").write_text(PROBE)
    return tmp_path / "project"


def run(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "app/runtime/start.py", *arguments], cwd=directory,
        env={**bare_environment(), **environment}, capture_output=True, text=True,
    )  # fmt: skip


def test_modules_of_the_users_stand_in_for_none(directory: Path) -> None:
    done = run(directory, "app.probe", "one", "two")
    assert done.stderr == ""
    files, _, arguments = done.stdout.rpartition(" [")
    assert arguments == "'one', 'two']\n"
    *others, app, own = files.strip("[]").replace("'", "").split(", ")
    assert not [file for file in others if file.startswith(str(directory))]
    assert (app, own) == (f"{directory}/app/__init__.py", f"{directory}/own.py")


def test_app_is_the_projects_own_whatever_is_installed(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "installed" / "app").mkdir(parents=True)
    (tmp_path / "installed" / "app" / "__init__.py").write_text(MINE)
    done = run(directory, "app.probe", PYTHONPATH=str(tmp_path / "installed"))
    assert done.returncode == 0, done.stderr
