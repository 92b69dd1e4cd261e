"""What is shown of pip's talk."""

from __future__ import annotations

import pytest

from denzel.backends.base import Passing
from denzel.pip_view import PipView

QUIET = """\
Looking in indexes: https://pypi.example/simple
Requirement already satisfied: falcon==4.4.0 in ./venv (from -r requirements.txt (line 3)) (4.4.0)
WARNING: Location 'file:///wheels/falcon/' is ignored: it is neither a file nor a directory.
Collecting numpy
  Downloading numpy-2.5.0-cp313-manylinux.whl (16.2 MB)
Installing collected packages: numpy
  Attempting uninstall: numpy
    Found existing installation: numpy 2.4.6
"""


def said(lines: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what is shown of lines of progress."""
    view = PipView()
    for line in lines.splitlines():
        view.receive(line)
    view.clear()
    return capsys.readouterr().err.splitlines()


def test_what_pip_changed_is_summed_up_before_what_comes_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = QUIET + "Successfully installed numpy-2.5.0 scikit-learn-1.9.2\nStopping api ... done"
    assert said(lines, capsys) == [
        "Installed numpy 2.5.0, scikit-learn 1.9.2",
        "Stopping api ... done",
    ]


def test_that_nothing_changed_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(QUIET, capsys) == ["Nothing to install: every package is there already"]
    assert said("Stopping api ... done", capsys) == ["Stopping api ... done"]


def test_errors_and_warnings_of_packages_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = "ERROR: No matching distribution found for nope\nWARNING: nope 1.0 was yanked"
    assert said(lines, capsys) == lines.splitlines()


def test_the_build_of_an_image_is_not_pips(capsys: pytest.CaptureFixture[str]) -> None:
    assert said("Building the image shop:1.0.0; its log is logs/build.log", capsys) == [
        "Building the image shop:1.0.0; its log is logs/build.log"
    ]
    PipView().receive(Passing("Building the image shop:1.0.0, step 3/7: RUN true"))
    assert capsys.readouterr().err == ""
