"""Files of settings are read as they were written, by the command line and by the services."""

from __future__ import annotations

from pathlib import Path

import pytest

from denzel.env_file import EnvFile
from denzel.templates.project.app.runtime.settings.secrets import read_secrets


@pytest.mark.parametrize(
    "value", ["plain", "pa ss", "a#b", "#a", "pa ss # x", " both ends ", "'quoted'", "it's # mine"]
)
def test_a_value_is_read_as_it_was_set(tmp_path: Path, value: str) -> None:
    file = EnvFile(tmp_path / ".env.secrets", private=True)
    file.write("# mine\nNAME=before\n")
    file.set({"NAME": value, "ADDED": value})
    assert file.read() == {"NAME": value, "ADDED": value}
    assert read_secrets(file.path) == file.read()
    assert file.path.read_text().startswith("# mine\nNAME=")
