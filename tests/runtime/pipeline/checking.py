"""The report on a pipeline that ``python -m app.runtime.pipeline.check`` makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..service import bare_environment
from ..template import copy_template


def check(
    directory: Path, pipeline: str | None, sample: bytes = b"", *arguments: str, **variables: str
) -> dict[str, Any]:
    """Return the report on a pipeline."""
    copy_template(directory, pipeline)
    done = subprocess.run(
        [sys.executable, "-m", "app.runtime.pipeline.check", *arguments], cwd=directory,
        env={**bare_environment(), **variables}, input=sample, capture_output=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
