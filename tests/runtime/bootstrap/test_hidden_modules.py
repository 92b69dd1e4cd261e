"""Files of the user's that no import finds are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.runtime.bootstrap.hidden_modules import hidden_modules, warn_of_hidden_modules


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's directory, beside an environment with a package, a module and ``app``."""
    packages = tmp_path / "venv/lib/python3.13/site-packages"
    for name in ("redis", "app"):
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").touch()
    (packages / "six.py").touch()
    monkeypatch.setenv("DENZEL_VENV", str(tmp_path / "venv"))
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def test_files_that_bear_the_name_of_another_module(project: Path) -> None:
    for name in ("queue.py", "redis.py", "train.py", "__init__.py", "json.txt"):
        (project / name).touch()
    for name in ("six", "app", "types", "logs"):
        (project / name).mkdir()
    for name in ("six", "app"):
        (project / name / "__init__.py").touch()
    assert hidden_modules(project) == {
        "queue.py": "Python's own module queue",
        "redis.py": "the installed package redis",
        "six/": "the installed package six",
    }


def test_a_line_for_each(project: Path) -> None:
    (project / "queue.py").touch()
    (line,) = warn_of_hidden_modules(project)
    assert line.startswith("queue.py is never imported: Python's own module queue comes first.")
