"""Find the lines of the user's own files in what went wrong."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[3]
RUNTIME = PROJECT / "app" / "runtime"
MAX_LINES = 20
"""Most lines that are shown; of a longer list, its two ends."""

_DUMPED = re.compile(r'^\s*File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.+)$', re.MULTILINE)


class Line(NamedTuple):
    """One place in a stack: a file, a line's number, its text."""

    file: str
    number: int
    text: str


def user_lines(error: BaseException) -> list[str]:
    """Return where ``error`` comes from, as ``app/logic/pipeline.py:12: code``, innermost last.

    Only lines of the project's own files, unless there are none; never lines of denzel's.
    """
    lines = [
        Line(frame.filename, frame.lineno or 0, frame.line or "")
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(Line(error.filename, error.lineno or 0, (error.text or "").strip()))
    return shown(lines)


def dumped_lines(dump: str) -> list[str]:
    """Return the same for what faulthandler wrote, of the thread that got the signal."""
    stack = dump.partition("Current thread ")[2].partition("\n\nThread ")[0]
    lines = [
        Line(found["file"], int(found["line"]), _text_at(found["file"], int(found["line"])))
        for found in _DUMPED.finditer(stack)
    ]
    return shown(reversed(lines))


def innermost_line(dump: str) -> str:
    """Return the user's line of code that was reached last, such as ``app/logic/a.py:7 in f``.

    Where none of the user's is in what faulthandler wrote, the line of a library; empty without
    any.
    """
    frames = [*_DUMPED.finditer(dump)]
    own = [each for each in frames if _is_users(each["file"]) and not _is_ours(each["file"])]
    for frame in own or frames:
        return f"{_relative(frame['file'])}:{frame['line']} in {frame['name']}"
    return ""


def shown(lines: Iterable[Line]) -> list[str]:
    """Return the lines a user can do something about, each on a line of text."""
    not_ours = [line for line in lines if not _is_ours(line.file)]
    chosen = [line for line in not_ours if _is_users(line.file)] or not_ours
    texts = [f"{_relative(each.file)}:{each.number}: {each.text}" for each in chosen]
    if len(texts) > MAX_LINES:
        half = MAX_LINES // 2
        texts[half:-half] = [f"… {len(texts) - 2 * half} more …"]
    return texts


def without_our_frames(error: BaseException) -> TracebackType | None:
    """Return the error's traceback from the first frame that is not denzel's; None: all are."""
    found = error.__traceback__
    while found is not None and _is_ours(found.tb_frame.f_code.co_filename):
        found = found.tb_next
    return found


def _is_ours(file: str) -> bool:
    path = Path(file)
    if file.startswith("<frozen "):
        return True
    if not path.is_absolute():
        path = PROJECT / path
    return path.is_relative_to(RUNTIME) or path == PROJECT / "app" / "tasks.py"


def _is_users(file: str) -> bool:
    path = PROJECT / file
    inside = path.relative_to(PROJECT).parts if path.is_relative_to(PROJECT) else ()
    # A virtual environment may be in the project: .denzel/env/lib/…/site-packages.
    return bool(inside) and "site-packages" not in inside and not inside[0].startswith(".")


def _relative(file: str) -> str:
    path = PROJECT / file
    return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else file


def _text_at(file: str, number: int) -> str:
    try:
        return (PROJECT / file).read_text(encoding="utf-8").splitlines()[number - 1].strip()
    except (OSError, ValueError, IndexError):
        return ""
