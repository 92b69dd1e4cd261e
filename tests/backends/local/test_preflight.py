"""What a machine may lack, told before anything changes."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from denzel.backends.local.preflight import (
    check_disk,
    check_platform,
    check_programs,
    holds_commands,
)
from denzel.errors import EngineError


def without(name: str) -> Callable[..., importlib.machinery.ModuleSpec | None]:
    """Return a ``find_spec`` that does not find the module ``name``."""
    find = importlib.util.find_spec
    return lambda module, *rest: None if module == name else find(module, *rest)


def test_this_machine_will_do(tmp_path: Path) -> None:
    check_platform()
    check_programs()
    check_disk(tmp_path, installs=True)


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        ("ensurepip", r"apt install python3\.\d+-venv"),
        ("venv", r"apt install python3\.\d+-venv"),
        ("supervisor", r"pip install \"denzel\[local\]\""),
    ],
)
def test_a_missing_module(monkeypatch: pytest.MonkeyPatch, missing: str, remedy: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", without(missing))
    with pytest.raises(EngineError, match=remedy):
        check_programs()


def test_no_bash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="install bash"):
        check_programs()


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(EngineError, match="--docker"):
        check_platform()


def test_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version_tuple", lambda: ("3", "10", "4"))
    with pytest.raises(EngineError, match=r"Python 3\.11 or newer"):
        check_platform()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 2**20))
    with pytest.raises(EngineError, match="Only 5 MB are free"):
        check_disk(tmp_path, installs=True)
    check_disk(tmp_path, installs=False)


def test_a_directory_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(EngineError, match="cannot be written to"):
        check_disk(tmp_path, installs=False)


@pytest.mark.parametrize(
    ("text", "holds"),
    [("", False), ("#!/bin/bash\n\n  # a comment\n", False), ("#!/bin/bash\napt-get update", True)],
)
def test_commands_in_a_script(tmp_path: Path, text: str, holds: bool) -> None:
    script = tmp_path / "requirements.sh"
    assert not holds_commands(script)
    script.write_text(text)
    assert holds_commands(script) is holds
