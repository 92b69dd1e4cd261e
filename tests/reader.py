"""A reader who does what a page says: types its commands, saves its files, compares its outputs."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from denzel.polling import polls
from documents import Block, Command, commands

COMMAND_SECONDS = 420
SHOWN_SECONDS = 180
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Times, versions, ports and numbers of processes are the machine's, not the page's.
FIGURES = re.compile(r"(?<![\w\"-])v?\d+(?:[.-]\d+)*(?![\w-])|(?<=build )[0-9a-f]+")


@dataclass
class Reader:
    """Follows a page from one directory, with a second terminal for what goes on meanwhile."""

    directory: Path
    backend: str
    programs: Path
    """A directory whose programs are found first: the Python that the reader trains with."""
    replaced: dict[str, str]
    """What this reader writes in place of what the page shows: ports, the receiver's host."""
    appended: dict[str, str]
    """What this reader types behind a command: the ports of a launch."""
    outputs: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    second_terminal: subprocess.Popen[bytes] | None = None

    def follow(self, block: Block) -> None:
        """Do what a block asks for; fail where what it shows does not come."""
        text = self.mine(block.text)
        hint, _, name = block.hint.replace(",", "").partition(" ")
        match hint:
            case "not":
                return
            case "save":
                (self.directory / name).write_text(text, encoding="utf-8")
            case "extend":
                before = (self.directory / name).read_text(encoding="utf-8")
                assert text.startswith(before.strip()), f"{block}: {name} begins otherwise"
                (self.directory / name).write_text(text, encoding="utf-8")
            case "define":
                define(self.directory / name, text)
            case "second-terminal":
                self.type_beside(commands(block)[0].text)
            case "printed-there":
                self.await_beside(text)
            case "printed":
                self.expect_printed(block)
            case "execute":
                self.type(Command(f"{sys.executable} -c {shlex.quote(text)}", ""), block)
            case "docker" if self.backend != "docker":
                return
            case "until-shown" | "docker" | "":
                assert block.is_commands, f"{block}: what is to be done with it?"
                for command in commands(block):
                    self.type(command, block, again=hint == "until-shown")
            case _:
                pytest.fail(f"{block}: what does {block.hint!r} mean?")

    def mine(self, text: str) -> str:
        """Return a page's text with this reader's ports, host and ids."""
        for shown, own in {**self.replaced, **self.ids}.items():
            text = text.replace(shown, own)
        return text

    def type(self, command: Command, block: Block, *, again: bool = False) -> None:
        """Type a command; ``again`` and again until it shows what the page shows."""
        expected = self.mine(command.output)
        if command.text == "tree":
            check_tree(self.directory, expected)
            return
        for _ in polls(0.3, timeout=SHOWN_SECONDS if again else 0):
            self.outputs.append(self.run(self.mine(command.text), block))
            if shows(self.outputs[-1], expected):
                self.remember(command.output, self.outputs[-1])
                return
        pytest.fail(f"{block}: $ {command.text}\n{self.outputs[-1]}\nThe page shows\n{expected}")

    def run(self, command: str, block: Block) -> str:
        """Type a command that must succeed; return what it printed."""
        left = self.directory.parent / "working-directory"
        for typed, options in self.appended.items():
            command = command.replace(typed, f"{typed} {options}")
        done = subprocess.run(
            ["bash", "-c", f"{command}\ncode=$?; pwd > {left}; exit $code"],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, f"{block}: $ {command}\n{done.stdout}\n{done.stderr}"
        self.directory = Path(left.read_text(encoding="utf-8").strip())
        # Where standard output is a document, what is said beside it is no part of it.
        return done.stdout if done.stdout.startswith("{") else done.stdout + done.stderr

    def expect_printed(self, block: Block) -> None:
        """Find what a block shows among what was printed; its ids are those from now on."""
        for output in reversed(self.outputs):
            if shows(output, self.mine(block.text)):
                self.remember(block.text, output)
                return
        pytest.fail(f"{block}: not in\n" + "\n".join(self.outputs[-3:]))

    def remember(self, shown: str, printed: str) -> None:
        """Take the ids that were printed for those that the page shows, from now on."""
        self.ids.update(zip(UUID.findall(shown), UUID.findall(printed), strict=False))

    def environment(self) -> dict[str, str]:
        """Return the shell's environment: denzel's programs, after those of the reader."""
        own = f"{self.programs}:{Path(sys.executable).parent}"
        return {**os.environ, "PATH": f"{own}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}

    def type_beside(self, command: str) -> None:
        """Start a command in the second terminal."""
        self.leave()
        self.second_terminal = subprocess.Popen(
            ["bash", "-c", f"exec {command} >{self.directory.parent}/second-terminal 2>&1"],
            cwd=self.directory,
            env=self.environment(),
        )

    def await_beside(self, expected: str) -> None:
        """Wait until the second terminal shows what the page shows."""
        printed = ""
        for _ in polls(0.1, timeout=SHOWN_SECONDS):
            printed = (self.directory.parent / "second-terminal").read_text(encoding="utf-8")
            if shows(printed, expected):
                return
        pytest.fail(f"The second terminal shows\n{printed}\nand not\n{expected}")

    def leave(self) -> None:
        """Close the second terminal."""
        if self.second_terminal:
            self.second_terminal.kill()
            self.second_terminal.wait()


def shows(printed: str, expected: str) -> bool:
    """Tell whether ``expected`` is among what was printed, but for figures, ids and blanks.

    JSON must have all the fields that the page shows, and may have others.
    """
    try:
        return holds(json.loads(printed), json.loads(expected))
    except ValueError:
        words, wanted = plain(printed), plain(expected)
    starts = range(len(words) - len(wanted) + 1)
    return any(words[start : start + len(wanted)] == wanted for start in starts)


def plain(text: str) -> list[str]:
    """Return a text's words, with N for each figure and ID for each UUID."""
    return FIGURES.sub("N", UUID.sub("ID", text)).split()


def holds(actual: Any, expected: Any) -> bool:
    """Tell whether a JSON value has all that another shows."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(key in actual and holds(actual[key], expected[key]) for key in expected)
    if isinstance(expected, str) and UUID.fullmatch(expected):
        return bool(UUID.fullmatch(str(actual)))
    return bool(actual == expected)


def check_tree(directory: Path, shown: str) -> None:
    """Find each file of a shown ``tree``; others may stand beside them."""
    parents: list[str] = []
    for line in shown.splitlines():
        if not (entry := re.match(r"^((?:\|   |    )*)[|`]-- (\S+)", line)):
            continue
        depth = len(entry[1]) // 4
        parents[depth:] = [entry[2]]
        assert directory.joinpath(*parents).exists(), f"There is no {'/'.join(parents)}"
    assert parents, "No tree is shown"


def define(path: Path, code: str) -> None:
    """Put functions in the place of those of the same name, and all else at the top."""
    text = path.read_text(encoding="utf-8")
    for statement in ast.parse(code).body:
        own = ast.get_source_segment(code, statement) or ""
        if not isinstance(statement, ast.FunctionDef):
            text = f"{own}\n{text}"
            continue
        old = next(
            node
            for node in ast.parse(text).body
            if isinstance(node, ast.FunctionDef) and node.name == statement.name
        )
        text = text.replace(ast.get_source_segment(text, old) or "", own)
    path.write_text(text, encoding="utf-8")
