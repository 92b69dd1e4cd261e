"""Which Compose is used, told by programs of its names on PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from denzel.backends.docker.program import ComposeProgram, find_compose, version_numbers
from denzel.errors import EngineError


class Programs:
    """The programs on PATH: each answers ``version --short`` as told, and notes its arguments."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        monkeypatch.setenv("PATH", str(directory))

    def add(self, name: str, answer: str, code: int = 0) -> None:
        """Put a program on PATH."""
        program = self.directory / name
        notes = self.directory / f"{name}.notes"
        program.write_text(f"#!/bin/sh\necho \"$@\" >> {notes}\necho '{answer}'\nexit {code}\n")
        program.chmod(0o755)

    def notes(self, name: str) -> list[str]:
        """Return the arguments of each call of a program."""
        notes = self.directory / f"{name}.notes"
        return notes.read_text().splitlines() if notes.exists() else []


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    return Programs(tmp_path, monkeypatch)


def test_the_plugin_comes_first(programs: Programs) -> None:
    programs.add("docker", "2.26.1-4")
    programs.add("docker-compose", "2.40.0")
    assert find_compose() == ComposeProgram(("docker", "compose"), "2.26.1-4")
    assert programs.notes("docker") == ["compose version --short"]
    assert programs.notes("docker-compose") == []


def test_the_standalone_program_serves_without_the_plugin(programs: Programs) -> None:
    programs.add("docker", "docker: unknown command: docker compose", code=1)
    programs.add("docker-compose", "v2.20.0")
    assert find_compose() == ComposeProgram(("docker-compose",), "v2.20.0")
    assert programs.notes("docker-compose") == ["version --short"]


def test_an_old_plugin_is_passed_over(programs: Programs) -> None:
    programs.add("docker", "2.19.1")
    programs.add("docker-compose", "2.20.3")
    assert find_compose().argv == ("docker-compose",)


def test_version_one_is_too_old(programs: Programs) -> None:
    programs.add("docker-compose", "1.29.2")
    with pytest.raises(EngineError) as raised:
        find_compose()
    assert "`docker-compose` is version 1.29.2, denzel needs 2.20 or newer" in str(raised.value)
    assert "docker-compose-plugin" in str(raised.value)
    assert "--local" in str(raised.value)


def test_no_compose_at_all(programs: Programs) -> None:
    with pytest.raises(EngineError, match="Docker Compose is not installed; install"):
        find_compose()


def test_words_are_no_version(programs: Programs) -> None:
    programs.add("docker", "Usage: docker [OPTIONS] COMMAND")
    with pytest.raises(EngineError, match="not installed"):
        find_compose()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("v2.26.1-4", (2, 26, 1)), ("2.20", (2, 20)), ("5.0.0+ds1", (5, 0, 0)), ("none", ())],
)
def test_version_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert version_numbers(text) == numbers
