"""startproject writes all of a project or nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from denzel import __version__
from denzel.errors import ProjectError, UsageError
from denzel.project import Project
from denzel.scaffold import USER_FILES, start_project
from denzel.templates import TEMPLATES, example_names

TUTORIAL_TREE = {
    "Dockerfile",
    "__init__.py",
    "app/__init__.py",
    "app/assets/info.txt",
    "app/logic/__init__.py",
    "app/logic/pipeline.py",
    "app/tasks.py",
    "docker-compose.yml",
    "entrypoints/api.sh",
    "entrypoints/denzel.sh",
    "entrypoints/monitor.sh",
    "requirements.sh",
    "requirements.txt",
}
VISIBLE_AT_THE_TOP = {
    "Dockerfile",
    "__init__.py",
    "app",
    "docker-compose.image.yml",
    "docker-compose.yml",
    "entrypoints",
    "logs",
    "requirements.sh",
    "requirements.txt",
}


MADE_HERE = {".env", ".env.secrets", ".denzel.json"}


def paths_in(root: Path) -> set[str]:
    """Return every file below ``root``, as a path relative to it."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_the_tree_is_the_tutorials(project: Project) -> None:
    assert paths_in(project.root) >= TUTORIAL_TREE
    visible = {path.name for path in project.root.iterdir() if not path.name.startswith(".")}
    assert visible == VISIBLE_AT_THE_TOP
    assert (project.root / "logs").is_dir()


def test_files_are_copied_byte_for_byte(project: Project) -> None:
    for path in TUTORIAL_TREE:
        assert (project.root / path).read_bytes() == (TEMPLATES / "project" / path).read_bytes()


def test_entrypoints_can_be_executed(project: Project) -> None:
    for script in (project.root / "entrypoints").glob("*.sh"):
        assert script.stat().st_mode & 0o111 == 0o111


def test_the_directory_has_the_mode_any_directory_gets(project: Project, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert project.root.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_secrets_are_for_their_owner_alone(project: Project) -> None:
    assert stat.S_IMODE(project.secrets_file.stat().st_mode) == 0o600
    project.set_environment(MONITOR_PASSWORD="word")
    assert stat.S_IMODE(project.secrets_file.stat().st_mode) == 0o600


def test_no_secret_is_in_the_settings(project: Project) -> None:
    written = project.env_file.read_text() + (project.root / ".denzel.json").read_text()
    settings = project.settings
    assert settings.redis_password
    assert settings.callback_secret
    assert settings.redis_password not in written
    assert settings.callback_secret not in written
    assert project.settings.project_name == "shop_window"
    assert project.settings.image == "shop_window:1.0.0"


def test_changing_a_setting_keeps_the_mode_and_every_other_line(project: Project) -> None:
    before = project.env_file.read_text()
    project.env_file.chmod(0o640)
    project.set_environment(API_PORT="8123")
    assert stat.S_IMODE(project.env_file.stat().st_mode) == 0o640
    assert project.env_file.read_text() == before.replace("API_PORT=8000", "API_PORT=8123")
    assert project.settings.api_port == 8123


def test_the_manifest_holds_a_digest_of_each_file_denzel_owns(project: Project) -> None:
    manifest = project.manifest
    assert manifest.version == __version__
    assert manifest.files.keys().isdisjoint(USER_FILES)
    assert manifest.files.keys() | {*USER_FILES, *MADE_HERE} == paths_in(project.root)
    for path, digest in manifest.files.items():
        assert hashlib.sha256((project.root / path).read_bytes()).hexdigest() == digest


def test_private_files_are_kept_out_of_version_control(project: Project) -> None:
    (project.private / "run").mkdir(parents=True)
    (project.private / "run" / "api.json").touch()
    (project.logs / "worker.log").touch()
    (project.root / ".env.secrets.abc").touch()
    subprocess.run(["git", "init", "-q"], cwd=project.root, check=True)
    # As in the .gitignore that GitHub proposes for Python.
    (project.root / ".git/info/exclude").write_text(".env\n")
    seen = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=project.root, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert "logs/.gitkeep" in seen
    assert {".env", ".denzel.json", ".gitattributes"} <= set(seen)
    private = {".env.secrets", ".env.secrets.abc", ".denzel/run/api.json", "logs/worker.log"}
    assert not private & set(seen)


@pytest.mark.parametrize("example", [name for name in example_names() if name != "none"])
def test_an_example_replaces_the_users_files(tmp_path: Path, example: str) -> None:
    project = start_project(tmp_path, "shown", example=example)
    folder = TEMPLATES / "examples" / example
    assert "app/logic/pipeline.py" in paths_in(folder)
    for path in paths_in(folder):
        if "cache" not in path:
            assert (project.root / path).read_bytes() == (folder / path).read_bytes()
            assert path not in project.manifest.files


def test_an_unknown_example_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no example 'tulips'; there are none, digits, iris"):
        start_project(tmp_path, "shown", example="tulips")
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_project_says_so_in_its_settings(tmp_path: Path) -> None:
    project = start_project(tmp_path, "fast", gpu=True)
    assert project.settings.gpu
    assert project.settings.base_image.startswith("nvidia/cuda")


def test_caches_are_not_copied(tmp_path: Path) -> None:
    import denzel.templates.project.app.runtime.settings  # noqa: F401 - leaves a __pycache__ behind

    project = start_project(tmp_path, "clean")
    assert not [path for path in project.root.rglob("*") if "cache" in path.name]


@pytest.mark.parametrize("kind", ["file", "directory", "dangling link"])
def test_what_exists_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "taken"
    if kind == "file":
        target.write_text("mine")
    elif kind == "directory":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ProjectError, match="exists already"):
        start_project(tmp_path, "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from denzel.errors import ProjectError
from denzel.scaffold import start_project
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    start_project(Path(sys.argv[1]), "big")
except ProjectError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert os.strerror(errno.EFBIG) in done.stdout
    assert "nothing was left behind" in done.stdout
    assert list(tmp_path.iterdir()) == []
