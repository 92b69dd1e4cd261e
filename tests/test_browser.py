"""A page is opened in a window, or not at all."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import pytest

from denzel import browser


@pytest.mark.skipif(sys.platform == "darwin", reason="there, a screen is taken for granted")
def test_without_a_screen_no_browser_takes_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in browser.DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("it was opened"))
    assert not browser.open_page("http://127.0.0.1:8000/")


def test_with_a_screen_the_users_browser_is_given_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" > {asked}\n')
    program.chmod(0o755)
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("BROWSER", str(program))
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    assert browser.open_page("http://127.0.0.1:8000/")
    assert asked.read_text() == "http://127.0.0.1:8000/\n"
