"""Which backend is chosen: flag, record, engine, in this order."""

from __future__ import annotations

import subprocess
import sys

import pytest

from denzel import backends
from denzel.backends import choose
from denzel.errors import UsageError
from denzel.project import Project


def report(_line: str) -> None:
    """Hear nothing."""


@pytest.mark.parametrize(
    ("flag", "recorded", "engine", "chosen"),
    [
        ("local", "docker", True, "local"),
        ("docker", "local", False, "docker"),
        (None, "local", True, "local"),
        (None, "docker", False, "docker"),
        (None, None, True, "docker"),
        (None, None, False, "local"),
    ],
)
def test_choice(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    flag: str | None,
    recorded: str | None,
    engine: bool,
    chosen: str,
) -> None:
    project.record_backend(recorded)
    monkeypatch.setattr(backends, "_engine_answers", lambda: engine)
    assert choose(project, flag, report).name == chosen


def test_an_unknown_record_is_told(project: Project) -> None:
    project.record_backend("cloud")
    with pytest.raises(UsageError, match="cloud"):
        choose(project, None, report)


def test_local_processes_need_no_docker_library(project: Project) -> None:
    program = (
        "import sys; from pathlib import Path; from denzel.backends import choose;"
        "from denzel.project import Project;"
        "choose(Project(Path(sys.argv[1])), 'local', print).status();"
        "print({'docker', 'supervisor', 'yaml', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(project.root)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"
