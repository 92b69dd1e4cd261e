"""What is redrawn in place on a terminal: within its width and height, whatever is to be shown."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence

import click


def echo(text: str = "", *, err: bool = False) -> None:
    """Print a line; colour is kept only on a terminal and without NO_COLOR."""
    click.echo(text, err=err, color=False if os.environ.get("NO_COLOR") else None)


class LiveView:
    """Lines that are redrawn in place; where that cannot be, printed when they change.

    Then an empty line parts them, unless there is but one at a time.
    """

    def __init__(self, *, err: bool = False) -> None:
        self.err = err
        stream = sys.stderr if err else sys.stdout
        self.in_place = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.shown: list[str] = []
        self._size = shutil.get_terminal_size()

    def show(self, lines: Sequence[str]) -> None:
        """Show ``lines`` in place of what was shown before."""
        if self.in_place:
            size = shutil.get_terminal_size()
            rows = fitting(lines, size.columns, size.lines)
            # What was shown has been wrapped anew by a terminal that was resized.
            clear = "\x1b[H\x1b[2J" if size != self._size else f"\x1b[{len(self.shown)}F\x1b[J"
            if self.shown:
                click.echo(clear, nl=False, err=self.err, color=True)
            if rows:
                echo("\n".join(rows), err=self.err)
            self.shown, self._size = rows, size
            return
        if list(lines) != self.shown:
            apart = [""] if len(self.shown) > 1 else []
            echo("\n".join([*apart, *lines]), err=self.err)
        self.shown = list(lines)


def fitting(lines: Sequence[str], columns: int, rows: int) -> list[str]:
    """Return the rows that show ``lines``: wrapped, or where those are too many, cut short."""
    available = max(rows - 1, 1)  # the cursor stands in the last row
    wrapped = [row for line in lines for row in wrap(line, columns)]
    if len(wrapped) <= available:
        return wrapped
    cut = [_cut(line, columns) for line in lines]
    if len(cut) <= available:
        return cut
    return [*cut[: available - 1], _cut(f"… {len(cut) - available + 1} more lines", columns)]


def wrap(line: str, columns: int) -> list[str]:
    """Break a line between words, colour and all; what follows is indented as far and a bit more.

    A row ends before the last column: some terminals begin a new one when that is filled.
    """
    room = max(columns - 1, 1)
    if _width(line) <= room:
        return [line]
    indent = " " * min(len(line) - len(line.lstrip(" ")) + 4, room // 2)
    rows = [""]
    for word in _words(line, room - len(indent)):
        joined = f"{rows[-1]} {word}" if rows[-1].strip() else rows[-1] + word
        if _width(joined) <= room or not rows[-1].strip():
            rows[-1] = joined
        else:
            rows.append(indent + word)
    return rows


def _words(line: str, room: int) -> Iterator[str]:
    """Yield a line's words, the first with its indentation; a word that is too long in pieces."""
    text = line.lstrip(" ")
    first, *others = text.split(" ")
    for word in (" " * (len(line) - len(text)) + first, *others):
        plain = click.unstyle(word)
        if len(plain) <= room:
            yield word
        else:
            yield from (plain[start : start + room] for start in range(0, len(plain), room))


def _width(text: str) -> int:
    return len(click.unstyle(text))


def _cut(line: str, columns: int) -> str:
    if _width(line) < columns:
        return line
    return click.unstyle(line)[: max(columns - 2, 1)] + "…"
