"""API keys: the settings hold their hashes, which travel with the project."""

from __future__ import annotations

import hashlib
import stat

import pytest

from command_line import Denzel
from denzel.apikeys import add_key, key_names, remove_key
from denzel.errors import UsageError
from denzel.project import Project


def test_the_hash_is_kept_and_the_key_is_not(project: Project) -> None:
    first, second = add_key(project, "shop"), add_key(project, "till-2")
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in (first, second)]
    assert project.settings.api_keys == (("shop", digests[0]), ("till-2", digests[1]))
    text = project.env_file.read_text(encoding="utf-8")
    assert first not in text
    assert second not in text
    assert first != second
    assert len(first) > 40


def test_the_file_keeps_its_mode(project: Project) -> None:
    project.env_file.chmod(0o640)
    add_key(project, "shop")
    assert stat.S_IMODE(project.env_file.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["", "two words", "a,b", "a:b", "x" * 65, "é", ".x"])
def test_a_name_that_cannot_be_one_changes_nothing(project: Project, name: str) -> None:
    before = project.env_file.read_bytes()
    with pytest.raises(UsageError, match="cannot be a key's name"):
        add_key(project, name)
    assert project.env_file.read_bytes() == before


def test_a_name_that_is_taken_keeps_its_key(project: Project) -> None:
    add_key(project, "shop")
    before = project.env_file.read_bytes()
    with pytest.raises(UsageError, match="a key called shop already"):
        add_key(project, "shop")
    assert project.env_file.read_bytes() == before


def test_a_key_that_is_taken_back_leaves_the_others(project: Project) -> None:
    for name in ("shop", "till-2"):
        add_key(project, name)
    remove_key(project, "shop")
    assert key_names(project) == ["till-2"]
    with pytest.raises(UsageError, match="no key called shop; there are till-2"):
        remove_key(project, "shop")


def test_the_command_lists_and_removes(denzel: Denzel, project: Project) -> None:
    nobody = denzel("apikey", "--list", cwd=project.root)
    assert (nobody.stdout, nobody.returncode) == ("", 0)
    assert "There are no API keys" in nobody.stderr
    add_key(project, "shop")
    assert denzel("apikey", "--list", cwd=project.root).stdout == "shop\n"
    assert denzel("apikey", "--list", "--json", cwd=project.root).stdout == '[\n  "shop"\n]\n'
    removed = denzel("apikey", "--remove", "shop", cwd=project.root)
    assert removed.returncode == 0
    assert "It was the last one" in removed.stderr
    assert denzel("apikey", "shop", "--list", cwd=project.root).returncode == 2


def test_the_command_prints_the_key_and_nothing_else_on_stdout(
    denzel: Denzel, project: Project
) -> None:
    done = denzel("apikey", "shop", cwd=project.root)
    assert done.returncode == 0, done.stderr
    key = done.stdout.removesuffix("\n")
    project.forget()
    assert project.settings.api_keys == (("shop", hashlib.sha256(key.encode()).hexdigest()),)
    assert "denzel restart" in done.stderr
    assert key not in done.stderr
