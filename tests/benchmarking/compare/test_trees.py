"""A checkout's services are found in its entrypoints, whatever its layout."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.compare.__main__ import THIS_TREE
from benchmarks.compare.trees import Tree, entrypoint_command
from benchmarks.errors import BenchmarkError

WHERE = Path("api.sh")


def test_this_checkout_has_all_services() -> None:
    services = Tree(THIS_TREE).services()
    assert {"api", "callbacks", "denzel", "monitor"} <= services.keys()
    assert "gunicorn" in services["api"]
    assert services["denzel"][-1] == "app.runtime.worker"


def test_a_command_over_two_lines_with_options_before_the_service() -> None:
    script = (
        'cd "$(dirname "$0")/.."\n'
        'exec "${DENZEL_PYTHON:-python3}" -m app.runtime.prepare --os-commands api \\\n'
        '    gunicorn --config app/runtime/gunicorn_conf.py "app.runtime.api:create_app()"\n'
    )
    assert entrypoint_command(script, WHERE) == [
        "gunicorn", "--config", "app/runtime/gunicorn_conf.py", "app.runtime.api:create_app()",
    ]  # fmt: skip


def test_a_command_that_is_a_module() -> None:
    script = "exec python3 -m app.runtime.bootstrap denzel python -m app.runtime.worker\n"
    assert entrypoint_command(script, WHERE) == ["python", "-m", "app.runtime.worker"]


def test_a_command_that_runs_its_module_by_a_script_and_ends_in_a_comment() -> None:
    script = (
        'exec "${DENZEL_PYTHON:-python3}" -P app/runtime/start.py app.runtime.bootstrap '
        "--os-commands denzel python -P app/runtime/start.py app.runtime.worker #\n"
    )
    assert entrypoint_command(script, WHERE) == [
        "python", "-P", "app/runtime/start.py", "app.runtime.worker",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "script", ["", "python -m app.runtime.worker\n", "exec gunicorn app\n", "exec python -m a b\n"]
)
def test_another_kind_of_script_is_an_error(script: str) -> None:
    with pytest.raises(BenchmarkError, match=r"api\.sh has no"):
        entrypoint_command(script, WHERE)


def test_a_folder_that_is_no_checkout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no checkout of denzel"):
        Tree(tmp_path).check()


def test_a_version_is_the_commit_and_tells_of_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        argv = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    assert Tree(tmp_path).version() == "unknown"
    git("init", "--quiet")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "--quiet", "--message", "One")
    commit = git("rev-parse", "--short=10", "HEAD")
    assert Tree(tmp_path).version() == commit
    (tmp_path / "file").write_text("2")
    assert Tree(tmp_path).version() == f"{commit}-dirty"
