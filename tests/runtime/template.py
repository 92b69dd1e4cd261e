"""The template that deployments are copies of, and the pipelines they are given."""

from __future__ import annotations

import shutil
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[2] / "denzel" / "templates" / "project"
PIPELINES = Path(__file__).with_name("pipelines")


def copy_template(directory: Path, pipeline: str | None) -> None:
    """Copy the template to ``directory`` and give it a pipeline, if it is not to keep its own."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(TEMPLATE, directory, ignore=ignore, dirs_exist_ok=True)
    if pipeline is not None:
        (directory / "app" / "logic" / "pipeline.py").write_text(pipeline, encoding="utf-8")
