"""The guide to files, docs/files.rst: its pipelines are served, and its commands typed."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from documents import Block, Command, blocks, commands

from .deployment import ANSWER_SECONDS, deployed

GUIDE = Path(__file__).parents[2] / "docs" / "files.rst"
URL = "http://localhost:8000"


def lessons() -> Iterator[tuple[str, list[Command]]]:
    """Yield each complete pipeline of the guide, and the commands that follow it."""
    pipeline: Block | None = None
    typed: list[Command] = []
    for block in blocks(GUIDE):
        if block.hint == "pipeline":
            if pipeline is not None:
                yield pipeline.text, typed
            pipeline, typed = block, []
        elif block.language == "console" and not block.hint:
            typed += commands(block)
    assert pipeline is not None
    yield pipeline.text, typed


@pytest.mark.parametrize(("pipeline", "typed"), list(lessons()))
def test_a_pipeline_of_the_guide_answers_as_it_says(
    tmp_path: Path, pipeline: str, typed: list[Command]
) -> None:
    assert typed
    with deployed(tmp_path, pipeline) as deployment:
        picture = io.BytesIO()
        Image.new("RGB", (640, 480), (20, 20, 40)).save(picture, "JPEG")
        (tmp_path / "cat.jpg").write_bytes(picture.getvalue())
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        for command in typed:
            text = command.text.replace(URL, deployment.url)
            done = subprocess.run(
                ["bash", "-c", text.replace("curl ", "curl -sS ")], cwd=tmp_path,
                capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            for line in filter(None, command.output.splitlines()):
                pattern = re.escape(line).replace("…", ".*")
                assert re.search(pattern, done.stdout), f"{command}\n{done.stdout}"
