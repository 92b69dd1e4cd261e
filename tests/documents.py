"""The documentation's code blocks, in order, each with what is to be done with it.

A comment before a block says it: ``.. run: save as train.py``.  Without one, the commands of a
``console`` block are typed, and what stands under a command must be among what it printed.
``test_pages.py`` looks at all pages; which of them are followed from end to end it says, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DIRECTIVE = re.compile(r"^( *)\.\. (code-block|literalinclude|tab-item):: *(.*)$")
LITERAL = re.compile(r"^(?! *\.\. )( *)(?:.*\S)?::$")
"""The end of a paragraph that is followed by a literal block: commands, on our pages."""
HINT = re.compile(r"^ *\.\. run: (.+)$")
COMMAND = re.compile(r"^(?:node\d)?\$ ", re.MULTILINE)
TYPED = (
    "docs/changes.rst",
    "docs/callbacks.rst",
    "docs/cli.rst",
    "docs/gpu.rst",
    "docs/install.rst",
    "docs/reliability.rst",
    "docs/troubleshooting.rst",
    "README.rst",
    "docs/monitoring.rst",
    "docs/endpoints.rst",
    "docs/scaling.rst",
)
"""Pages whose commands ``e2e/test_documentation.py`` types into a launched project, in its order:
the versions that are shown are the first ones, ids are asked for when they were given, and what
changes the answers of others, keys and replicas, comes last."""
TYPED_HINTS = ("", "edited", "elsewhere", "until-shown")
"""How they are typed: as they are, after a file was edited, where no project is, until shown."""


@dataclass(frozen=True)
class Block:
    """One code block of a page."""

    page: str
    line: int
    tab: str
    """The title of the tab it stands in; empty outside tabs."""
    language: str
    text: str
    hint: str
    """What the comment before it says; empty without one."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_commands(self) -> bool:
        """Tell whether a reader is to type it."""
        return self.language in ("bash", "console", "shell")


@dataclass(frozen=True)
class Command:
    """A command of a ``console`` block, and what the page shows under it."""

    text: str
    output: str


def blocks(path: Path) -> Iterator[Block]:
    """Yield the code blocks of a page of reStructuredText."""
    lines = path.read_text(encoding="utf-8").splitlines()
    tab, tab_indent, hint = "", -1, ""
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent <= tab_indent:
            tab, tab_indent = "", -1
        if said := HINT.match(line):
            hint = said[1]
        if literal := LITERAL.match(line):
            text = _content(lines, number + 1, len(literal[1]))
            yield Block(path.name, number + 1, tab, "shell", text, hint)
            hint = ""
        if not (directive := DIRECTIVE.match(line)):
            continue
        if directive[2] == "tab-item":
            tab, tab_indent = directive[3], indent
            continue
        language, text = directive[3], _content(lines, number + 1, indent)
        if directive[2] == "literalinclude":
            language = "python" if directive[3].endswith(".py") else "text"
            text = (path.parent / directive[3]).read_text(encoding="utf-8")
        yield Block(path.name, number + 1, tab, language, text, hint)
        hint = ""


def _content(lines: list[str], start: int, indent: int) -> str:
    """Return a directive's content: what is indented deeper, less its options."""
    content = []
    for line in lines[start:]:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        content.append(line)
    while content and (not content[0].strip() or content[0].lstrip().startswith(":")):
        del content[0]
    margin = min((len(line) - len(line.lstrip()) for line in content if line.strip()), default=0)
    return "\n".join(line[margin:] for line in content).strip("\n") + "\n"


def commands(block: Block) -> list[Command]:
    """Return the commands of a ``console`` block: after ``$``, and after ``>`` where they go on.

    Each line of a ``shell`` block is one, unless a backslash ends the line before it.
    """
    if block.language != "console":
        lines = block.text.replace("\\\n", " ").splitlines()
        return [Command(line, "") for line in lines if line.strip()]
    found = []
    for typed in COMMAND.split(block.text)[1:]:
        first, *rest = typed.splitlines()
        continued = [line[2:] for line in rest if line.startswith("> ")]
        output = [line for line in rest if not line.startswith("> ")]
        found.append(Command("\n".join([first, *continued]), "\n".join(output)))
    return found
