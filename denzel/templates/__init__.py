"""What ``denzel startproject`` copies: the project's skeleton, its GPU variant, the examples."""

from collections.abc import Iterator
from pathlib import Path

TEMPLATES = Path(__file__).parent
NO_EXAMPLE = "none"
CACHES = ("__pycache__", "_cache")
"""Ends of the names of folders that Python and its tools leave beside the files."""


def example_names() -> tuple[str, ...]:
    """Return the names ``startproject --example`` takes, ``none`` first."""
    folders = [path for path in (TEMPLATES / "examples").glob("*") if path.is_dir()]
    return (NO_EXAMPLE, *sorted(path.name for path in folders if not path.name.startswith("_")))


def template_files(folder: str) -> Iterator[tuple[str, Path]]:
    """Yield (path in the project, template file) for each file of a template folder."""
    root = TEMPLATES / folder
    for source in sorted(root.rglob("*")):
        path = source.relative_to(root)
        if source.is_file() and not any(part.endswith(CACHES) for part in path.parts):
            yield path.as_posix(), source
