"""A project of denzel 0.3 becomes one of this version; what its user wrote stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Denzel
from denzel import __version__
from denzel.conversion import find_version_0_3, plan_conversion
from denzel.project import Project
from denzel.upgrade import UpgradeResult

ENV = """\
COMPOSE_PROJECT_NAME=Iris_Classifier
api_port=8123
monitor_port=5999
image_name=denzel
image_tag=1.1.0
dockerfile=Dockerfile
runtime=runc
redis_image_tag=4
"""
USERS = {
    "requirements.txt": "numpy==1.16\n",
    "requirements.sh": "apt-get install -y nano\n",
    "app/assets/info.txt": "Iris\n",
    "app/logic/pipeline.py": "def load_model():\n    return 1\n",
    "app/logic/extra.py": "x = 1\n",
    "app/assets/iris_svc.pkl": "model\r\n",
    ".gitignore": "data/\n",
}
UNCHANGED = {"__init__.py": "__version__ = '0.3.0'", "app/logic/__init__.py": ""}
CHANGED = {
    "docker-compose.yml": "version: '2.3'\n",
    "Dockerfile": "FROM python:3.6\n",
    "app/__init__.py": "import falcon\n",
    "app/tasks.py": "import celery\n",
    "entrypoints/denzel.sh": "#!/bin/bash\n",
}


@pytest.fixture
def old(tmp_path: Path) -> Project:
    """A project with what 0.3 wrote; of its files all but two count as changed by the user."""
    root = tmp_path / "old"
    for path, text in {**USERS, **UNCHANGED, **CHANGED, ".env": ENV, ".building": ""}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode())
    return Project(root, lenient=True)


def convert(old: Project) -> tuple[Project, UpgradeResult]:
    """Do what a conversion plans."""
    planned = plan_conversion(old)
    planned.changes.apply()
    return Project(old.root), planned.result


def test_it_is_found_from_its_subfolders(old: Project) -> None:
    found = find_version_0_3(old.root / "app" / "logic")
    assert found is not None
    assert found.root == old.root
    assert find_version_0_3(old.root.parent) is None


def test_name_and_ports_are_carried_over_and_secrets_made(old: Project) -> None:
    project, _ = convert(old)
    settings = project.settings
    assert settings.project_name == "iris_classifier"
    assert (settings.api_port, settings.monitor_port) == (8123, 5999)
    # The old image was shared by all projects, and its Redis is too old to serve this version.
    assert (settings.image, settings.redis_image) == ("iris_classifier:1.0.0", "redis:8")
    assert settings.redis_password
    assert project.tracked_secrets == []
    assert find_version_0_3(project.root) is None
    assert project.manifest.version == __version__
    assert not settings.gpu


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("image_name=registry.example/iris", "image", "registry.example/iris:1.1.0"),
        ("redis_image_tag=7-alpine", "redis_image", "redis:7-alpine"),
        ("redis_image_tag=6", "redis_image", "redis:8"),
        ("runtime=nvidia", "gpu", True),
        ("api_port=http", "api_port", 8000),
    ],
)
def test_settings_of_the_users_own_are_carried_over_where_they_can_be(
    old: Project, line: str, field: str, value: object
) -> None:
    with old.env_file.open("a") as file:
        file.write(f"{line}\n")
    project, _ = convert(old)
    assert getattr(project.settings, field) == value
    assert (project.root / "docker-compose.override.yml").exists() is project.settings.gpu


def test_what_the_user_wrote_stays(old: Project) -> None:
    with old.env_file.open("a") as file:
        file.write("MINE='x # y'\nPATTERN=a$b\n")
    project, result = convert(old)
    for path, text in USERS.items():
        assert (project.root / path).read_bytes().startswith(text.encode()), path
    assert project.environment["MINE"] == "x # y"
    assert [note for note in result.notes if note.startswith("PATTERN is not in .env any more")]
    assert [note for note in result.notes if note.endswith("move it to .env.secrets: MINE")]


def test_files_the_user_changed_make_way_and_are_kept(old: Project) -> None:
    project, result = convert(old)
    assert result.kept == {path: f"{path}.old" for path in result.kept}
    assert sorted(result.kept) == sorted(CHANGED)
    for path, text in CHANGED.items():
        assert (project.root / f"{path}.old").read_text() == text
        assert (project.root / path).read_text() != text
    for path in UNCHANGED:
        assert not (project.root / f"{path}.old").exists()
    assert (project.root / "__init__.py").read_text() != UNCHANGED["__init__.py"]
    assert not (project.root / ".building").exists()


def test_an_interrupted_conversion_is_begun_again(old: Project) -> None:
    """The manifest comes last, and .env before it: all else may be there already."""
    project, _ = convert(old)
    (project.root / ".denzel.json").unlink()
    old.env_file.write_text(ENV)
    (project.root / "Dockerfile").write_text("FROM mine\n")
    assert find_version_0_3(project.root) is not None
    again, result = convert(old)
    assert result.kept == {"Dockerfile": "Dockerfile.old2"}
    assert (again.root / "Dockerfile.old").read_text() == CHANGED["Dockerfile"]
    assert again.settings.api_port == 8123
    assert again.manifest.version == __version__


@pytest.mark.parametrize("command", ["launch", "status", "stop", "shutdown", "logs", "restart"])
def test_every_command_says_what_to_run(old: Project, denzel: Denzel, command: str) -> None:
    done = denzel(command, cwd=old.root / "app")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {old.root} is a project of denzel 0.3; run `denzel upgrade` to convert it\n"
    )


def test_the_command_converts_and_then_upgrades(old: Project, denzel: Denzel) -> None:
    done = denzel("upgrade", cwd=old.root)
    assert done.returncode == 0, done.stderr
    assert "You had changed Dockerfile: yours is in Dockerfile.old" in done.stdout
    assert "files in app/runtime" in done.stdout
    again = denzel("upgrade", cwd=old.root)
    assert again.stdout == f"The project is at version {__version__}\n"
