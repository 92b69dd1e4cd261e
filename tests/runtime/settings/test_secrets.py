"""The file of secrets: read as python-dotenv reads it, and left for what runs beside a service."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import dotenv
import pytest

from app.runtime.settings import load_settings
from app.runtime.settings.secrets import completed, read_copy, read_secrets, write_copy

LINES = [
    "PLAIN=a",
    "SPACED = a b ",
    "export EXPORTED=x",
    "EMPTY=",
    "SINGLE='a # b'",
    'DOUBLE="a $b"  # comment',
    "COMMENT=a # b",
    "HASH=a#b",
    "BASE64=whsec_AbC+/x==",
    "# NAME=not",
    "",
    "\tINDENTED=1",
    "TWICE=1",
    "TWICE=2",
    "WINDOWS=a\r",
]


def test_lines_are_read_as_the_command_line_reads_them(tmp_path: Path) -> None:
    file = tmp_path / ".env.secrets"
    file.write_text("\n".join(LINES), encoding="utf-8", newline="")
    expected = dotenv.dotenv_values(stream=io.StringIO(file.read_text()), interpolate=False)
    assert read_secrets(file) == expected


def test_no_file_is_no_secrets(tmp_path: Path) -> None:
    assert read_secrets(tmp_path / "none") == {}


def test_secrets_fill_what_the_environment_leaves_empty() -> None:
    environment = {"A": "mine", "B": "", "C": "c"}
    assert completed(environment, {"A": "x", "B": "y", "D": "z"}) == {
        "A": "mine", "B": "y", "C": "c", "D": "z"
    }  # fmt: skip


def test_settings_are_completed_from_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENZEL_RUN_DIR", str(tmp_path))
    monkeypatch.delenv("REDIS_PASSWORD", raising=False)
    for password in ("first", "second"):
        write_copy(str(tmp_path), {"REDIS_PASSWORD": password}, os.getuid())
        assert load_settings().redis_password == password
    (copy,) = tmp_path.iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400


@pytest.mark.parametrize("text", [None, "no JSON", "[]", "3"])
def test_a_copy_that_cannot_be_read_holds_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / ".secrets.json").write_text(text)
    assert read_copy(str(tmp_path)) == {}
