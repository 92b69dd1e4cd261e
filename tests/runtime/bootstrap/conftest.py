"""Projects with a wheelhouse, at each stage of their preparation."""

from __future__ import annotations

import importlib.util
import shutil
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..wheelhouse import make_wheel
from .project import Project, make_project


@pytest.fixture(scope="session")
def blank_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment that holds pip alone, and that by a link, so as to be quick."""
    directory = tmp_path_factory.mktemp("blank") / "venv"
    venv.create(directory, with_pip=False, symlinks=True)
    specification = importlib.util.find_spec("pip")
    assert specification is not None and specification.origin is not None
    (packages,) = directory.glob("lib/python*/site-packages")
    (packages / "pip").symlink_to(Path(specification.origin).parent)
    return directory


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of wheels that need one another as celery, kombu and users' do."""
    directory = tmp_path_factory.mktemp("wheels")
    make_wheel(directory, "runtimepart", "1.0", ["shared==26.3"])
    for version in ("24.0", "25.0", "26.3"):
        make_wheel(directory, "shared", version)
    make_wheel(directory, "userpart", "1.0")
    make_wheel(directory, "userpart", "2.0")
    make_wheel(directory, "oldfashioned", "1.0", ["shared<25"])
    return directory


@pytest.fixture(scope="session")
def installed_venv(
    tmp_path_factory: pytest.TempPathFactory, wheels: Path, blank_venv: Path
) -> Path:
    """Return the virtual environment of a project whose requirements are installed."""
    project = make_project(tmp_path_factory.mktemp("installed"), wheels, blank_venv)
    assert project.run("api").stdout.splitlines()[-1] == "running with 1.0"
    return Path(project.environment["DENZEL_VENV"])


@pytest.fixture
def project(tmp_path: Path, wheels: Path, blank_venv: Path) -> Iterator[Project]:
    """Yield a project with nothing installed yet."""
    project = make_project(tmp_path, wheels, blank_venv)
    yield project
    for service in project.services:
        service.kill()


@pytest.fixture
def installed(tmp_path: Path, wheels: Path, installed_venv: Path) -> Iterator[Project]:
    """Yield a project whose requirements are installed."""
    project = make_project(tmp_path, wheels, installed_venv)
    shutil.copy(installed_venv.parents[1] / "requirements.lock", tmp_path)
    yield project
    for service in project.services:
        service.kill()


@pytest.fixture
def contained(installed: Project) -> Project:
    """Return the project as it stands in a container."""
    installed.environment["DENZEL_OS_COMMANDS"] = str(installed.directory / "os-commands")
    return installed
