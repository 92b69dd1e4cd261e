"""Services know of the terminal that started them what machine and user it is, no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from denzel.backends.local.environment import INHERITED, service_environment
from denzel.backends.local.layout import Layout
from denzel.errors import UsageError
from denzel.project import Project

FOREIGN = {
    "API_KEYS": "shop:1",
    "CELERY_BROKER_URL": "redis://elsewhere",
    "CELERY_RESULT_BACKEND": "redis://elsewhere",
    "DENZEL_DEPLOYMENT": "1-2",
    "FLOWER_URL_PREFIX": "flowers",
    "GUNICORN_CMD_ARGS": "--bind 0.0.0.0:1",
    "HTTPS_PROXY": "http://proxy",
    "LD_PRELOAD": "",
    "PYTHONPATH": "/elsewhere",
    "PYTHONSTARTUP": "/elsewhere",
    "VIRTUAL_ENV": "/elsewhere",
}


@pytest.fixture
def layout(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """The layout of a project whose terminal has exported all kinds of things."""
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    yield Layout.of(project)


def test_nothing_of_the_terminal_reaches_a_service(project: Project, layout: Layout) -> None:
    environment = service_environment(project, layout, layout.run)
    of_the_backend = {
        "PYTHONUNBUFFERED", "DENZEL_BACKEND", "DENZEL_LOGS", "DENZEL_RUN_DIR", "DENZEL_VENV",
        "DENZEL_PYTHON", "OWN_REDIS_URL",
    }  # fmt: skip
    assert environment.keys() <= {*INHERITED, *project.environment, *of_the_backend}
    assert environment["API_KEYS"] == ""
    assert environment["PATH"]


def test_what_env_names_reaches_a_service(project: Project, layout: Layout) -> None:
    project.set_environment(PIP_PROXY="http://proxy", TZ="UTC", HOME="/srv")
    environment = service_environment(project, layout, layout.run)
    assert environment["PIP_PROXY"] == "http://proxy"
    assert environment["TZ"] == "UTC"
    assert environment["HOME"] == "/srv"


def test_a_zero_byte_is_told(project: Project, layout: Layout, tmp_path: Path) -> None:
    with project.env_file.open("a") as file:
        file.write("MINE=a\0b\n")
    with pytest.raises(UsageError, match="MINE holds a zero byte"):
        service_environment(project, layout, tmp_path)
