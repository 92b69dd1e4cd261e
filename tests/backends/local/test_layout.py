"""Where sockets go, and who may see them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from denzel.backends.local import layout
from denzel.backends.local.layout import Layout
from denzel.errors import EngineError


def made(root: Path) -> Layout:
    root.mkdir(parents=True)
    here = Layout(root, root / ".denzel", root / "logs")
    here.create()
    return here


def test_sockets_lie_in_the_project_where_that_is_possible() -> None:
    with tempfile.TemporaryDirectory() as short:
        here = made(Path(short, "p"))
        assert here.choose_socket_directory() == here.run == here.sockets
        assert here.private.stat().st_mode & 0o777 == 0o700
        assert list(here.run.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 100, "a b", "a%20b", "ä"])
def test_else_in_a_short_private_directory(tmp_path: Path, name: str) -> None:
    here = made(tmp_path / name)
    short = here.choose_socket_directory()
    try:
        assert short.parent == layout.SHORT_ROOT
        assert short.stat().st_mode & 0o777 == 0o700
        (short / "supervisor.sock").touch()
        assert here.sockets == short
    finally:
        here.forget_sockets()
    assert not short.exists()
    assert here.sockets == here.run


def test_someone_elses_directory_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "SHORT_ROOT", tmp_path / "short")
    (tmp_path / "short").mkdir()
    here = made(tmp_path / "a b")
    squatted = here._short
    squatted.mkdir()
    squatted.chmod(0o777)
    (squatted / "supervisor.sock").touch()
    assert here.sockets == here.run
    with pytest.raises(EngineError, match="shorter path"):
        here.choose_socket_directory()
    assert (squatted / "supervisor.sock").exists()


def test_the_mark_stays_when_the_project_moves(tmp_path: Path) -> None:
    here, there = made(tmp_path / "here"), made(tmp_path / "there")
    mark = here.mark
    assert mark != there.mark
    here.root.rename(tmp_path / "moved")
    assert Layout(tmp_path / "moved", tmp_path / "moved" / ".denzel", tmp_path).mark == mark
