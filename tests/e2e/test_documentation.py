"""The commands that the pages show, typed into a project that is launched, outputs compared.

The tutorial has a test of its own.  What else is typed, ``tests/documents.py`` lists, page after
page; ``tests/test_pages.py`` demands of every other command a reason why it is not.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from denzel.ports import free_port
from documents import TYPED, TYPED_HINTS, Block, blocks
from port_range import FIRST_PORT
from reader import Reader

ROOT = Path(__file__).parents[2]
METRICS_KEY = re.compile(r"^METRICS_KEY=(\S+)$", re.MULTILINE)
API_KEY = re.compile(r"^dz_\S+", re.MULTILINE)
PIPELINE = Path("app/logic/pipeline.py")


class Visitor(Reader):
    """A reader of the pages, who has the iris example launched as the first of them is opened."""

    def mine(self, text: str) -> str:
        """Return a page's text with this reader's key in place of KEY, too."""
        text = super().mine(text)
        if "Bearer KEY" in text:
            text = text.replace("KEY", self.key(metrics="/metrics" in text))
        return text

    def key(self, *, metrics: bool) -> str:
        """Return the key that was made last, for the metrics or the API; KEY before any was."""
        secrets = (self.directory / ".env.secrets").read_text(encoding="utf-8")
        printed = "\n".join(self.outputs)
        made = METRICS_KEY.findall(secrets) if metrics else API_KEY.findall(printed)
        return str(made[-1]) if made else "KEY"

    def visit(self, block: Block, elsewhere: Path) -> None:
        """Type a block's commands: in the project, or in a directory where none is."""
        hint, root = block.hint, self.directory
        if hint == "elsewhere":
            self.directory = elsewhere
        if hint == "edited":
            with (root / PIPELINE).open("a", encoding="utf-8") as pipeline:
                pipeline.write(f"# Edited before {block}\n")
        self.follow(replace(block, hint="until-shown" if hint == "until-shown" else ""))
        self.directory = root


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    start = tmp_path_factory.mktemp("reader") / "start"
    start.mkdir()
    api = free_port(FIRST_PORT)
    monitor = free_port(api + 1)
    # An answer that refuses the request is a command that failed.
    options = {"curl": "--silent --show-error --fail-with-body"}
    ports = {"8000": str(api), "5555": str(monitor)}
    reader = Visitor(start, "local", Path(sys.executable).parent, ports, options)
    launch = f"denzel launch --local --wait --api-port {api} --monitor-port {monitor}"
    beginning = Block("the beginning", 0, "", "console", "", "")
    reader.run("denzel startproject iris_classifier --example iris", beginning)
    try:
        reader.run(f"cd iris_classifier && {launch}", beginning)
        yield reader
    finally:
        end = [sys.executable, "-m", "denzel", "shutdown", "--purge"]
        subprocess.run(end, cwd=start / "iris_classifier", check=True)


@pytest.mark.parametrize("page", TYPED)
def test_the_commands_of_a_page_work_as_it_says(reader: Visitor, page: str, tmp_path: Path) -> None:
    for block in blocks(ROOT / page):
        if block.is_commands and block.hint in TYPED_HINTS:
            reader.visit(block, tmp_path)
