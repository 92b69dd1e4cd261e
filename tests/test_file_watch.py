"""Which files count as saved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from denzel.file_watch import FileWatch


def save(root: Path, path: str, text: str = "x") -> None:
    """Write a file, and the directories it lies in."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_what_is_written_made_and_removed_is_told_once(tmp_path: Path) -> None:
    for name in ("app/logic/pipeline.py", "app/assets/model.pkl", "app/logic/old.py"):
        save(tmp_path, name)
    watch = FileWatch(tmp_path)
    assert watch.changed() == []
    save(tmp_path, "app/logic/pipeline.py", "longer")
    save(tmp_path, "app/logic/features.py")
    (tmp_path / "app" / "logic" / "old.py").unlink()
    os.utime(tmp_path / "app" / "assets" / "model.pkl", ns=(1, 1))
    assert watch.changed() == [
        "app/assets/model.pkl", "app/logic/features.py", "app/logic/old.py", "app/logic/pipeline.py"
    ]  # fmt: skip
    assert watch.changed() == []


@pytest.mark.parametrize(
    "path",
    [".env", ".env.secrets", "requirements.txt", "requirements-gpu.txt", "requirements.sh",
     "helpers.py", "lib/features.py", "app/assets/deep/labels.json"],
)  # fmt: skip
def test_what_the_services_read_counts(tmp_path: Path, path: str) -> None:
    watch = FileWatch(tmp_path)
    save(tmp_path, path)
    assert watch.changed() == [path]


@pytest.mark.parametrize(
    "path",
    ["app/assets/info.txt", "app/logic/__pycache__/pipeline.cpython-313.pyc", "logs/worker.log",
     ".denzel/dev/run/api.json", ".git/index", "notes.md", "data/train.csv", "app/logic/.x.py.swp"],
)  # fmt: skip
def test_anything_else_does_not(tmp_path: Path, path: str) -> None:
    watch = FileWatch(tmp_path)
    save(tmp_path, path)
    assert watch.changed() == []


def test_virtual_environments_are_passed_over(tmp_path: Path) -> None:
    save(tmp_path, "myenv/pyvenv.cfg")
    watch = FileWatch(tmp_path)
    save(tmp_path, "myenv/lib/module.py")
    assert watch.changed() == []
