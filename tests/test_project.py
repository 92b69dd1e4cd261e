"""A project on disk: found from anywhere in it, its ``.env`` read as people write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from denzel.errors import DenzelError, ProjectError, UsageError
from denzel.project import Project, find_project


def test_a_project_is_found_from_its_subfolders(project: Project) -> None:
    assert find_project(project.root / "app" / "logic").root == project.root


def test_outside_a_project_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="You must be inside project's directory"):
        find_project(tmp_path)


def test_env_may_hold_comments_blanks_quotes_and_unknown_names(project: Project) -> None:
    project.env_file.write_text(
        "# mine\n\nexport API_PORT=8123 # why not\nMONITOR_PORT='5556'\nMINE=x\nalone\nGPU=\n"
    )
    settings = project.settings
    assert (settings.api_port, settings.monitor_port, settings.gpu) == (8123, 5556, False)
    assert project.environment["MINE"] == "x"


def test_without_a_name_in_env_the_directory_names_the_project(project: Project) -> None:
    project.env_file.write_text("API_PORT=8123\n")
    assert project.name == project.root.name


def test_without_env_a_project_is_refused_since_it_may_have_had_api_keys(project: Project) -> None:
    project.env_file.unlink()
    with pytest.raises(ProjectError, match=r"\.env is missing.*`denzel upgrade`"):
        _ = Project(project.root).settings
    assert Project(project.root, lenient=True).settings.api_port == 8000


def test_secrets_are_read_from_a_file_of_their_own(project: Project) -> None:
    before = project.env_file.read_text()
    project.set_environment(MONITOR_USER="ann", MONITOR_PASSWORD="pa$s")  # no Compose reads it
    assert "pa$s" not in project.env_file.read_text()
    assert project.env_file.read_text() == before.replace("MONITOR_USER=", "MONITOR_USER=ann")
    assert (project.settings.monitor_user, project.settings.monitor_password) == ("ann", "pa$s")
    assert project.tracked_secrets == []


def test_a_line_of_env_comes_before_one_of_the_secrets(project: Project) -> None:
    with project.env_file.open("a") as file:
        file.write("REDIS_PASSWORD=mine\nCALLBACK_SECRET=\nTOKEN=a\n")
    with project.secrets_file.open("a") as file:
        file.write("TOKEN=b\nOTHER=c\n")
    assert project.environment["REDIS_PASSWORD"] == "mine"
    assert project.environment["CALLBACK_SECRET"].startswith("whsec_")
    assert (project.environment["TOKEN"], project.environment["OTHER"]) == ("a", "c")
    assert project.tracked_secrets == ["REDIS_PASSWORD"]


def test_a_setting_among_the_secrets_is_refused_since_compose_would_miss_it(
    project: Project,
) -> None:
    with project.secrets_file.open("a") as file:
        file.write("API_PORT=8123\n")
    with pytest.raises(
        UsageError, match=r"\.env\.secrets: API_PORT is no secret; move it to \.env"
    ):
        _ = project.settings
    assert Project(project.root, lenient=True).settings.api_port == 8000


def test_an_unusable_secret_is_looked_for_where_it_stands(project: Project) -> None:
    project.set_environment(CALLBACK_SECRET="whsec_short")
    with pytest.raises(UsageError, match=r"\.env\.secrets: CALLBACK_SECRET cannot be used"):
        _ = project.settings


def test_an_env_that_is_not_text_is_an_error_that_names_it(project: Project) -> None:
    project.env_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProjectError, match=r"\.env cannot be read"):
        _ = project.settings


@pytest.mark.parametrize("text", ["API_PORT=1\nno setting\n", "API_PORT=1\nMINE='open\n"])
def test_a_line_that_cannot_be_read_is_an_error_that_names_it(project: Project, text: str) -> None:
    project.env_file.write_text(text)
    with pytest.raises(UsageError, match=r"\.env: line 2 is neither NAME=value nor a comment"):
        _ = project.settings


def test_a_dollar_is_refused_since_compose_would_read_it_otherwise(project: Project) -> None:
    project.env_file.write_text("MONITOR_PASSWORD='pa$word'\n")
    with pytest.raises(UsageError, match=r"\.env: MONITOR_PASSWORD may not contain a \$"):
        _ = project.settings


def test_a_bad_value_is_an_error_that_names_the_file(project: Project) -> None:
    project.env_file.write_text("API_PORT=http\n")
    with pytest.raises(UsageError, match=r"\.env: API_PORT=http cannot be used"):
        _ = project.settings


def test_what_was_chosen_at_launch_is_remembered_outside_the_files_that_travel(
    project: Project,
) -> None:
    travelling = {
        path: path.read_bytes()
        for path in project.root.rglob("*")
        if path.is_file() and path.name != ".env.secrets"
    }
    project.record_backend("local", api_port=8123)
    found = find_project(project.root)
    assert found.backend == "local"
    assert (found.settings.api_port, found.settings.monitor_port) == (8123, 5555)
    assert {path: path.read_bytes() for path in travelling} == travelling
    assert found.private in (found.private / "launch.json").parents
    project.record_backend(None)
    assert project.backend is None
    assert project.settings.api_port == 8000


@pytest.mark.parametrize("text", ["<<<<<<< HEAD", "[]", '{"backend": 1}', '{"files": 3}', ""])
def test_a_broken_record_is_none(project: Project, text: str) -> None:
    project.record_backend("local")
    for name in (".denzel.json", ".denzel/launch.json"):
        (project.root / name).write_text(text)
    found = find_project(project.root)
    assert (found.backend, found.manifest.files, found.name) == (None, {}, "shop_window")


def test_a_project_is_one_without_its_manifest(project: Project) -> None:
    (project.root / ".denzel.json").unlink()
    assert find_project(project.root / "logs").root == project.root


@pytest.mark.parametrize(
    "line", ["a b", "API_PORT=many", "PROJECT_NAME=No Such", "LOG_LEVEL=$A", b"MINE=\xff"]
)
def test_a_lenient_project_passes_over_what_cannot_be_used(
    project: Project, line: str | bytes
) -> None:
    assert Project(project.root, lenient=True).flaw == ""
    project.set_environment(MONITOR_PORT="5556")
    with project.env_file.open("ab") as file:
        file.write(line if isinstance(line, bytes) else line.encode())
    with pytest.raises(DenzelError):
        _ = Project(project.root).settings
    lenient = Project(project.root, lenient=True)
    assert str(project.env_file) in lenient.flaw
    assert lenient.name == "shop_window"
    assert lenient.settings.api_port == 8000
    if isinstance(line, str):  # else nothing of the file can be read
        assert lenient.settings.monitor_port == 5556


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("API_PROT", "API_PORT"),
        ("api_port", "API_PORT"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("WORKER_CONCURENCY", "WORKER_CONCURRENCY"),
        ("MODEL_PATH", None),
        ("PIP_INDEX_URL", None),
        ("TZ", None),
        ("REDIS_URL", None),
    ],
)
def test_a_name_that_is_nearly_a_settings_is_told(
    project: Project, name: str, meant: str | None
) -> None:
    project.set_environment(**{name: "1"})
    assert project.misspelled == ({name: meant} if meant else {})


def test_who_changes_a_project_may_change_it_on(project: Project) -> None:
    with project.changing(), project.changing():
        pass
    with project.changing():
        pass
