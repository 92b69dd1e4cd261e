"""Versions of a project: what is copied, what is shared, which one services start with."""

from __future__ import annotations

from pathlib import Path

import pytest

from denzel.errors import ProjectError
from denzel.project import Project
from denzel.versions import Versions

PIPELINE = "app/logic/pipeline.py"
MODEL = "app/assets/model.bin"


@pytest.fixture
def versions(project: Project) -> Versions:
    """The versions of a new project with a model; there are none yet."""
    (project.root / MODEL).write_bytes(b"weights" * 1000)
    return Versions(project)


def served(versions: Versions, by: str = "launch") -> int:
    """Start services as ``by`` does; return the version they start with."""
    number = versions.to_start(by).number
    versions.serve(number)
    return number


def copy_of(project: Project, number: int, path: str) -> Path:
    return project.root / ".denzel" / "versions" / str(number) / path


def edit(project: Project, text: str) -> None:
    (project.root / PIPELINE).write_text(text, encoding="utf-8")


def test_what_is_edited_does_not_reach_a_version(project: Project, versions: Versions) -> None:
    number = served(versions)
    before = copy_of(project, number, PIPELINE).read_text()
    # In place, as most programs save a model.
    with (project.root / MODEL).open("r+b") as model:
        model.write(b"halfway")
    edit(project, "broken")
    assert copy_of(project, number, PIPELINE).read_text() == before
    assert copy_of(project, number, MODEL).read_bytes() == b"weights" * 1000


def test_unchanged_files_are_one_file_on_the_disk(project: Project, versions: Versions) -> None:
    first = served(versions)
    edit(project, "VERSION = 2\n")
    second = served(versions, "restart")
    assert second != first
    assert copy_of(project, second, MODEL).samefile(copy_of(project, first, MODEL))
    assert not copy_of(project, second, MODEL).samefile(project.root / MODEL)
    assert copy_of(project, second, PIPELINE).read_text() == "VERSION = 2\n"


def test_secrets_are_in_no_file_that_others_may_read(project: Project, versions: Versions) -> None:
    number = served(versions)
    secret = project.settings.callback_secret
    copied = copy_of(project, number, ".")
    holding = [
        path for path in (*copied.rglob("*"), copied.with_name(f"{number}.json"))
        if path.is_file() and not path.is_symlink() and secret in path.read_text(errors="replace")
    ]  # fmt: skip
    assert [path.name for path in holding] == [f"{number}.json"]
    assert holding[0].stat().st_mode & 0o777 == 0o600


def test_nothing_changed_is_no_new_version(project: Project, versions: Versions) -> None:
    number = served(versions)
    (project.root / "app" / "__pycache__").mkdir()
    (project.root / "app" / "__pycache__" / "x.pyc").touch()
    (project.root / ".pipeline.py.swp").touch()
    assert served(versions, "restart") == number
    project.set_environment(RESULT_TTL="77")
    changed = versions.to_start("restart")
    assert changed.number != number
    assert changed.settings["RESULT_TTL"] == "77"
    versions.serve(changed.number)
    assert versions.of_project("reload").number == changed.number


def test_packages_and_files_of_requirements_are_copied_and_the_rest_is_linked(
    project: Project, versions: Versions
) -> None:
    for path in ("lib/__init__.py", "lib/more.py", "reqs/base.txt", "data/table.csv"):
        (project.root / path).parent.mkdir(exist_ok=True)
        (project.root / path).write_text("1")
    (project.root / "requirements.txt").write_text("-r reqs/base.txt\n")
    number = served(versions)
    for path in ("lib/more.py", "reqs/base.txt"):
        assert not copy_of(project, number, path).samefile(project.root / path)
    for path in ("data/table.csv", "logs"):
        assert copy_of(project, number, path).samefile(project.root / path)


def test_what_was_gone_back_from_does_not_start_again(project: Project, versions: Versions) -> None:
    first = served(versions)
    versions.mark_worked()
    edit(project, "broken")
    second = served(versions, "restart")
    target = versions.before(second)
    assert target is not None
    assert target.number == first
    back = versions.copy(first, "rollback")
    versions.serve(back.number)
    assert back.same_as == first
    assert versions.to_start("start").number == back.number
    assert versions.of_project("reload").number == second
    assert versions.before(back.number) is None
    edit(project, "VERSION = 3\n")
    versions.keep_edits()
    assert versions.to_start("restart").number == back.number
    edit(project, "VERSION = 4\n")
    assert versions.to_start("restart").number > back.number


def test_old_versions_go_but_not_those_to_go_back_to(project: Project, versions: Versions) -> None:
    project.set_environment(VERSIONS_KEPT="2")
    first = served(versions)
    versions.mark_worked()
    for value in range(4):
        edit(project, f"VERSION = {value}\n")
        last = served(versions, "restart")
    assert [version.number for version in versions.all()] == [first, last - 1, last]
    assert versions.size() > 0
    versions.drop_all()
    assert versions.served == 0
    assert versions.all() == []


def test_a_version_that_cannot_be_written_leaves_nothing(
    project: Project, versions: Versions
) -> None:
    served(versions)
    edit(project, "VERSION = 2\n")
    (project.root / "app" / "assets" / "gone").symlink_to("nowhere")  # a link to nothing is copied
    unreadable = project.root / "app" / "assets" / "pipe"
    unreadable.mkdir()
    (project.root / ".denzel" / "versions" / ".2.new").write_text("in the way")
    with pytest.raises(ProjectError, match="cannot be written"):
        versions.to_start("restart")
    assert [version.number for version in versions.all()] == [1]


def test_a_link_within_the_code_is_no_change(project: Project, versions: Versions) -> None:
    (project.root / "app" / "assets" / "current.bin").symlink_to("model.bin")
    number = served(versions)
    assert copy_of(project, number, "app/assets/current.bin").samefile(
        copy_of(project, number, MODEL)
    )
    assert served(versions, "restart") == number


def test_a_directory_that_may_not_be_read_is_linked(
    project: Project, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "pgdata").mkdir()
    exists = Path.exists

    def refuse(path: Path) -> bool:
        if path.parent.name == "pgdata":
            raise PermissionError  # as to anyone but root
        return exists(path)

    monkeypatch.setattr(Path, "exists", refuse)
    number = served(versions)
    assert copy_of(project, number, "pgdata").is_symlink()
    assert served(versions, "restart") == number


def test_what_is_left_of_a_dropped_version_is_not_in_the_way(
    project: Project, versions: Versions
) -> None:
    number = served(versions)
    rest = copy_of(project, number + 1, "app")
    rest.mkdir(parents=True)
    edit(project, "VERSION = 2\n")
    assert served(versions, "restart") == number + 1
