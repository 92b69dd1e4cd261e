"""The files by which services tell what they are doing."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from app.runtime import state


@pytest.fixture(autouse=True)
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory that states are written to; it does not exist yet."""
    directory = tmp_path / "deep" / "run"
    monkeypatch.setenv("DENZEL_RUN_DIR", str(directory))
    return directory


def test_what_is_written_is_read(run_directory: Path) -> None:
    state.write_state("api", state.ERROR, "ünusual: \n reason")
    assert state.read_state(run_directory / "api.json") == (state.ERROR, "ünusual: \n reason")
    assert json.loads((run_directory / "api.json").read_text(encoding="utf-8")) == {
        "state": "ERROR",
        "detail": "ünusual: \n reason",
    }


def test_a_directory_that_is_turned_meanwhile_gets_the_state(
    run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, shown = run_directory.with_name("own"), run_directory.with_name("shown")
    for directory in (own, shown):
        directory.mkdir(parents=True)
    run_directory.symlink_to(own)
    replace = Path.replace

    def turn_first(path: Path, target: Path) -> Path:
        run_directory.unlink()
        run_directory.symlink_to(shown)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", turn_first)
    state.write_state("api", state.LOADING)
    assert state.read_state(shown / "api.json") == (state.LOADING, "")


@pytest.mark.parametrize("text", ["", "{", "{}", '{"state": "UP"}'])
def test_a_damaged_file_is_down(run_directory: Path, text: str) -> None:
    run_directory.mkdir(parents=True)
    (run_directory / "api.json").write_text(text, encoding="utf-8")
    assert state.read_state(run_directory / "api.json") == (state.DOWN, "")
    assert state.read_state(run_directory / "none.json") == (state.DOWN, "")


def test_a_reader_never_sees_half_a_file(run_directory: Path) -> None:
    state.write_state("api", state.UP)
    finished = threading.Event()

    def write() -> None:
        for number in range(300):
            state.write_state("api", state.LOADING, str(number) * 500)
        finished.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not finished.is_set():
        assert state.read_state(run_directory / "api.json")[0] != state.DOWN
    writer.join()
    assert [path.name for path in run_directory.iterdir()] == ["api.json"]


def test_a_link_is_not_followed_and_a_pipe_not_waited_for(run_directory: Path) -> None:
    state.write_state("api", state.UP)
    (run_directory / "linked.json").symlink_to(run_directory / "api.json")
    os.mkfifo(run_directory / "piped.json")
    assert state.read_state(run_directory / "linked.json") == (state.DOWN, "")
    assert state.read_state(run_directory / "piped.json") == (state.DOWN, "")
