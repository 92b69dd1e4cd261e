"""The user's own lines in an error, and in what faulthandler wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.runtime.pipeline import tracebacks
from app.runtime.pipeline.json_codec import dump_result
from app.runtime.pipeline.tracebacks import (
    MAX_LINES,
    Line,
    dumped_lines,
    innermost_line,
    shown,
    user_lines,
    without_our_frames,
)

USERS = """
def outer():
    return inner(
        1
    )
def inner(n):
    return {}[n]
def deep(n):
    return deep(n + 1)
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[..., Any]]:
    """Return functions of a file of the user's project."""
    monkeypatch.setattr(tracebacks, "PROJECT", tmp_path)
    monkeypatch.setattr(tracebacks, "RUNTIME", tmp_path / "app" / "runtime")
    file = tmp_path / "app" / "logic" / "pipeline.py"
    file.parent.mkdir(parents=True)
    file.write_text(USERS, encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(USERS, str(file), "exec"), names)
    return names


def raised(function: Callable[..., Any], *arguments: Any) -> BaseException:
    """Return what a call raises."""
    try:
        function(*arguments)
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError


def test_the_users_lines_are_shown_innermost_last(functions: dict[str, Any]) -> None:
    assert user_lines(raised(functions["outer"])) == [
        "app/logic/pipeline.py:3: return inner(", "app/logic/pipeline.py:7: return {}[n]"
    ]  # fmt: skip


def test_of_a_recursion_both_ends_are_shown(functions: dict[str, Any]) -> None:
    lines = user_lines(raised(functions["deep"], 0))
    assert len(lines) == MAX_LINES + 1
    assert "more …" in lines[MAX_LINES // 2]


def test_a_librarys_lines_are_shown_where_there_are_none_of_the_users() -> None:
    lines = [
        Line("/usr/lib/python3/site-packages/x/y.py", 3, "raise"),
        Line("app/logic/a.py", 1, "x"),
    ]
    assert shown(lines) == ["app/logic/a.py:1: x"]
    assert shown(lines[:1]) == ["/usr/lib/python3/site-packages/x/y.py:3: raise"]
    inside = Line(str(tracebacks.PROJECT / ".denzel/env/lib/site-packages/x.py"), 1, "y")
    assert shown([inside, lines[1]]) == ["app/logic/a.py:1: x"]
    assert shown([Line(str(tracebacks.RUNTIME / "pipeline/run.py"), 1, "ours")]) == []


def test_denzels_own_frames_are_left_out_of_a_traceback() -> None:
    assert without_our_frames(raised(dump_result, {"a": {1}})).tb_next is not None  # type: ignore[union-attr]
    error = raised(dump_result, {"a": {1}})
    error.__traceback__ = error.__traceback__.tb_next  # type: ignore[union-attr]  # the test's own
    assert without_our_frames(error) is None


def test_a_dump_of_faulthandlers_is_read(functions: dict[str, Any]) -> None:
    dump = """Fatal Python error: Aborted

Thread 0x00007f (most recent call first):
  File "app/logic/pipeline.py", line 9 in deep

Current thread 0x00007e (most recent call first):
  File "/usr/lib/python3.11/queue.py", line 171 in get
  File "app/logic/pipeline.py", line 7 in inner
  File "app/logic/pipeline.py", line 3 in outer
  File "app/runtime/pipeline/run.py", line 9 in predict

Thread 0x00007d (most recent call first):
  File "app/logic/pipeline.py", line 9 in deep
"""
    assert dumped_lines(dump) == [
        "app/logic/pipeline.py:3: return inner(", "app/logic/pipeline.py:7: return {}[n]"
    ]  # fmt: skip


def test_the_users_innermost_line_is_shown(functions: dict[str, Any], tmp_path: Path) -> None:
    stack = f"""Current thread 0x00007f (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
  File "{tmp_path}/.denzel/venv/lib/python3.11/site-packages/thing/core.py", line 5 in lock
  File "{tmp_path}/app/logic/helpers.py", line 7 in ask
  File "{tmp_path}/app/logic/pipeline.py", line 30 in predict
  File "{tmp_path}/app/runtime/pipeline/prediction.py", line 116 in _predict
  File "{tmp_path}/app/tasks.py", line 53 in invoke_predict
"""
    assert innermost_line(stack) == "app/logic/helpers.py:7 in ask"


def test_without_a_line_of_the_users_the_innermost_one_is_shown() -> None:
    stack = 'Thread 0x1:\n  File "/usr/lib/python3.11/threading.py", line 320 in wait\n'
    assert innermost_line(stack) == "/usr/lib/python3.11/threading.py:320 in wait"
    assert innermost_line("") == ""
