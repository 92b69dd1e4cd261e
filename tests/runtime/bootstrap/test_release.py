"""The steps inside the build of an image; tests/e2e/test_release.py has all of them, in one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from app.runtime.bootstrap import release

from ..template import copy_template


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as the build finds it, and places of its own for what the step leaves."""
    directory = tmp_path / "srv"
    copy_template(directory, None)
    for name in (".env", ".env.secrets"):
        (directory / name).unlink(missing_ok=True)
    if (directory / "logs").exists():
        (directory / "logs/.gitkeep").unlink(missing_ok=True)
        (directory / "logs").rmdir()
    monkeypatch.chdir(directory)
    monkeypatch.setattr(release, "TREE", tmp_path / "tree")
    monkeypatch.setattr(release, "REQUIRED", tmp_path / "required")
    return directory


@pytest.mark.parametrize("name", [".env", ".env.secrets", ".env.local", ".git", ".denzel", "logs"])
def test_what_must_not_be_in_an_image_ends_the_build(
    project: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / name).mkdir()
    assert release.main("project") == 1
    said = capsys.readouterr().err
    assert said.startswith(f"denzel: {name} would be in the image: .dockerignore must leave out")


def test_the_project_is_the_same_whoever_built_it(project: Path, tmp_path: Path) -> None:
    (project / "requirements.lock").write_text("stale")
    pipeline = project / "app/logic/pipeline.py"
    pipeline.chmod(0o600)
    (project / "app/logic/unfinished.py").write_text("def (")
    (project / "app/logic/gone").symlink_to("nowhere")
    assert release.main("project") == 0
    made = tmp_path / "tree" / project.relative_to("/")
    assert (made / "app/logic/pipeline.py").read_bytes() == pipeline.read_bytes()
    modes = {path.stat().st_mode & 0o777 for path in made.rglob("*") if not path.is_symlink()}
    assert modes == {0o644, 0o755}
    assert (made / "entrypoints/api.sh").stat().st_mode & 0o777 == 0o755
    everything = [path for path in (tmp_path / "tree").rglob("*")]
    assert {path.lstat().st_mtime for path in everything} == {release.MOMENT}
    assert not (made / "requirements.lock").exists()
    assert "denzel:x:10001:10001:" in (tmp_path / "tree/etc/passwd").read_text()
    assert (tmp_path / "tree/run/denzel").stat().st_mode & 0o7777 == 0o1777
    compiled = Path(importlib.util.cache_from_source(str(made / "app/logic/pipeline.py")))
    # PEP 552: the source's hash, which is compared with it, in place of its time.
    assert compiled.read_bytes()[4:8] == (0b11).to_bytes(4, "little")
    assert str(tmp_path / "tree").encode() not in compiled.read_bytes()


def test_packages_depend_on_nothing_but_what_they_are_installed_from(
    project: Path, tmp_path: Path
) -> None:
    (project / "more").mkdir()
    (project / "more/extra.txt").write_text("tabulate\n")
    (project / "requirements.txt").write_text("-r more/extra.txt\n")
    (project / "requirements.lock").write_text("# lock\n")
    assert release.main("project") == 0
    found = {path.relative_to(tmp_path / "required") for path in (tmp_path / "required").rglob("*")}
    files = {str(path) for path in found if not str(path).startswith("app/runtime")}
    assert files == {
        "app", "app/__init__.py", "more", "more/extra.txt", "requirements.lock",
        "requirements.sh", "requirements.txt",
    }  # fmt: skip
    assert Path("app/runtime/bootstrap/release.py") in found
