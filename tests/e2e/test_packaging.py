"""The wheel and the sdist, each installed into a clean environment, make whole projects."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import denzel

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "denzel" / "templates"
EXAMPLES = ("digits", "iris", "lightgbm", "torch")
VARIANTS = {
    "plain": [],
    "gpu": ["--gpu"],
    **{name: ["--example", name] for name in EXAMPLES},
}


def run(*command: object, cwd: Path) -> str:
    """Run a command and return what it printed; a failure shows its stderr."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def template_paths() -> set[str]:
    """Return every file of the templates that version control knows, relative to the clone."""
    try:
        listed = run(
            "git", "ls-files", "--cached", "--others", "--exclude-standard", TEMPLATES, cwd=ROOT
        ).splitlines()
    except AssertionError:
        pytest.skip("not in a clone of the repository")
    return {path for path in listed if (ROOT / path).exists()}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel built from it, of a copy of this source tree."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(".git", ".tox", "*cache*", "build", "*.egg-info", "venv*"),
    )
    run(sys.executable, "-m", "build", "--outdir", folder, source, cwd=folder)
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def command(
    request: pytest.FixtureRequest,
    distributions: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The ``denzel`` command of a clean environment with one distribution installed."""
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", distributions[request.param], cwd=folder)
    return python.with_name("denzel")


def files_of(project: Path) -> dict[str, tuple[bytes, bool]]:
    """Return the content and the execute bit of each file in a project, by its path."""
    return {
        path.relative_to(project).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in project.rglob("*")
        if path.is_file()
    }


def test_the_wheel_holds_every_template_file(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        names = set(wheel.namelist())
    packed = {name for name in names if name.startswith("denzel/templates/")}
    assert packed == template_paths()
    assert "denzel/py.typed" in names


def test_an_index_of_packages_can_show_them(distributions: dict[str, Path], tmp_path: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *distributions.values(), cwd=tmp_path)


def test_the_sdist_holds_every_template_file(distributions: dict[str, Path]) -> None:
    with tarfile.open(distributions["sdist"]) as sdist:
        names = {
            name.partition("/")[2] for name in sdist.getnames() if sdist.getmember(name).isfile()
        }
    assert {name for name in names if name.startswith("denzel/templates/")} == template_paths()
    assert {"setup.py", "pyproject.toml", "README.rst", "LICENSE", "CHANGELOG.rst"} <= names
    assert {"CONTRIBUTING.rst", "SECURITY.rst", ".importlinter", "tox.ini"} <= names


def test_the_installed_command_knows_its_version(command: Path, tmp_path: Path) -> None:
    assert run(command, "--version", cwd=tmp_path) == f"denzel, version {denzel.__version__}\n"


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
def test_an_installed_denzel_makes_the_same_project(
    command: Path, tmp_path: Path, options: list[str]
) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    for folder in (source, installed):
        folder.mkdir()
    arguments = ["startproject", "shop_window", *options]
    run(sys.executable, "-m", "denzel", *arguments, cwd=source)
    run(command, *arguments, cwd=installed)
    files, expected = files_of(installed / "shop_window"), files_of(source / "shop_window")
    assert files.keys() == expected.keys()
    for path in files.keys() - {".env.secrets"}:
        assert files[path] == expected[path], path
    assert {".env", ".env.secrets", ".denzel.json", ".dockerignore"} <= files.keys()
    assert {".gitattributes", ".gitignore", "logs/.gitkeep"} <= files.keys()
    for script in ("api", "denzel", "monitor"):
        assert files[f"entrypoints/{script}.sh"][1]
