"""Make the picture of ``denzel status --live``: ``python docs/terminal_pictures.py PROJECT``.

PROJECT is the directory of a project that is launched and UP.  Needs tmux and ``pip install
rich``.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

PICTURES = Path(__file__).parent / "_static"
COLUMNS, LINES = 60, 14
WAIT_SECONDS = 30
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""They would be loaded from another site."""


def capture(project: Path, command: str, until: str) -> str:
    """Return a terminal's text, colours included, once a command has shown a line."""
    tmux = ["tmux", "-L", f"denzel-{uuid.uuid4()}"]
    size = ["-x", str(COLUMNS), "-y", str(LINES)]
    environment = {**os.environ, "PS1": "$ "}
    shell = ["bash", "--norc", "--noprofile"]
    subprocess.run(
        [*tmux, "-f", "/dev/null", "new-session", "-d", *size, *shell],
        cwd=project, env=environment, check=True,
    )  # fmt: skip
    try:
        subprocess.run([*tmux, "send-keys", command, "Enter"], check=True)
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            shown = subprocess.run(
                [*tmux, "capture-pane", "-e", "-p"], check=True, capture_output=True, text=True
            ).stdout
            if re.search(until, shown):
                return shown.rstrip()
            if time.monotonic() > deadline:
                sys.exit(f"`{command}` does not show {until}, but\n{shown}")
            time.sleep(0.2)
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)


def save(name: str, title: str, text: str) -> None:
    """Save a terminal's text as a picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title=title, theme=DIMMED_MONOKAI, unique_id=name)
    (PICTURES / f"{name}.svg").write_text(FONTS.sub("", svg), encoding="utf-8")


if __name__ == "__main__":
    project = Path(sys.argv[1])
    shown = capture(project, "denzel status --live", r"Worker: .*UP")
    save("status_live", project.resolve().name, shown)
