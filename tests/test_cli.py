"""The command line as its user types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from command_line import Denzel, running
from denzel import __version__
from denzel.cli import main
from denzel.commands import COMMANDS, SECTIONS
from denzel.project import OUTSIDE_PROJECT, Project
from denzel.scaffold import USER_FILES
from denzel.services import NOT_LAUNCHED

IN_PROJECT = [
    ["launch"],
    ["build"],
    ["dev"],
    ["shutdown"],
    ["start"],
    ["stop"],
    ["restart"],
    ["reload"],
    ["rollback"],
    ["versions"],
    ["scale", "denzel=2"],
    ["status"],
    ["status", "--live"],
    ["status", "--json"],
    ["status", "--wait"],
    ["stats"],
    ["logs"],
    ["logworker"],
    ["open"],
    ["shell"],
    ["updatepipreqs"],
    ["updateosreqs"],
    ["updatereqs"],
    ["response", "--async"],
    ["callbacks"],
    ["callbacks", "--retry", "all"],
    ["apikey", "shop"],
    ["predict", "-"],
    ["result", "19e39afe-0729-43a8-b4c5-6a60281157bc"],
    ["check"],
    ["export", "swarm", "deploy"],
    ["upgrade"],
]

IMPORTED_BY_HELP = """
import sys
before = set(sys.modules)
from denzel.cli import main
main(["--help"], standalone_mode=False)
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(names - sys.stdlib_module_names), file=sys.stderr)
"""


def test_help_imports_click_and_the_standard_library_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_BY_HELP], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "['click', 'denzel']"
    assert "startproject" in done.stdout


def test_help_shows_every_command_on_one_line_of_an_eighty_column_terminal(
    denzel: Denzel,
) -> None:
    lines = denzel("--help", env={"COLUMNS": "80"}).stdout.splitlines()
    for section, entries in SECTIONS.items():
        assert f"{section}:" in lines
        for name, entry in entries.items():
            assert f"  {name:<13}  {entry.summary}" in lines
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_of_itself_what_the_overview_says(name: str) -> None:
    command = COMMANDS[name].load(name)
    assert command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name].summary


@pytest.mark.parametrize(
    ("typed", "suggested"), [("lunch", " Did you mean launch?"), ("frobnicate", "")]
)
def test_an_unknown_command_gets_a_suggestion(denzel: Denzel, typed: str, suggested: str) -> None:
    done = denzel(typed)
    assert done.returncode == 2
    assert done.stderr.endswith(f"Error: No such command '{typed}'.{suggested}\n")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("denzel re", sorted(name for name in COMMANDS if name.startswith("re"))),
        ("denzel launch --lo", ["--local"]),
        ("denzel logs --service re", ["redis"]),
    ],
)
def test_the_shell_completes_commands_options_and_choices(
    denzel: Denzel, tmp_path: Path, typed: str, completed: list[str]
) -> None:
    program = tmp_path / "denzel"
    program.write_text(
        f"#!{sys.executable}\nfrom denzel.cli import main\nmain(prog_name='denzel')\n"
    )
    program.chmod(0o755)
    script = tmp_path / "completion.bash"
    script.write_text(denzel("completion", "bash").stdout)
    words = " ".join(f"'{word}'" for word in typed.split())
    ask = f"""
        . {script}
        COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        _denzel_completion {program}; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == completed


def test_completion_is_for_the_shell_in_use(denzel: Denzel) -> None:
    assert "compdef" in denzel("completion", env={"SHELL": "/usr/bin/zsh"}).stdout
    unknown = denzel("completion", env={"SHELL": "/bin/tcsh"})
    assert unknown.returncode == 2
    assert "Give one of bash, zsh, fish" in unknown.stderr


def test_version(denzel: Denzel) -> None:
    assert denzel("--version").stdout == f"denzel, version {__version__}\n"


@pytest.mark.parametrize("arguments", IN_PROJECT, ids=" ".join)
def test_a_command_outside_a_project_says_so(denzel: Denzel, arguments: list[str]) -> None:
    done = denzel(*arguments)
    assert done.returncode == 1
    assert done.stderr == f"Error: {OUTSIDE_PROJECT}\n"
    assert done.stdout == ""


def test_every_command_but_four_is_tried_outside_a_project() -> None:
    anywhere = {"startproject", "demo", "doctor", "completion"}
    assert {arguments[0] for arguments in IN_PROJECT} == set(COMMANDS) - anywhere


def test_a_command_finds_its_project_from_a_subfolder(denzel: Denzel, project: Project) -> None:
    done = denzel("logworker", cwd=project.root / "app" / "logic")
    assert f"{project.root / 'logs' / 'worker.log'} is not there: " in done.stderr
    assert done.returncode == 1


def test_startproject_says_that_it_succeeded(denzel: Denzel, tmp_path: Path) -> None:
    done = denzel("startproject", "iris_classifier")
    assert done.stdout == "Successfully built iris_classifier project skeleton\n"
    first, *files = done.stderr.splitlines()
    assert first == "Edit these four files in iris_classifier/, then run `denzel launch` there:"
    assert [line.split()[0] for line in files] == [*USER_FILES]
    assert max(map(len, done.stderr.splitlines())) <= 80
    assert done.returncode == 0
    assert (tmp_path / "iris_classifier" / "app" / "logic" / "pipeline.py").is_file()


def test_startproject_says_that_an_example_is_ready_to_serve(denzel: Denzel) -> None:
    done = denzel("startproject", "wine", "--example", "lightgbm")
    assert done.stdout == "Successfully built wine project skeleton\n"
    assert done.stderr == (
        "It is ready to serve: run `denzel launch` and `denzel predict` in wine/\n"
    )


@pytest.mark.parametrize("name", ["", "a/b", "Iris", "iris model", "_iris", "iris.1", "ïris", ".."])
def test_startproject_refuses_a_name_compose_cannot_use(
    denzel: Denzel, tmp_path: Path, name: str
) -> None:
    done = denzel("startproject", name)
    assert done.returncode == 2
    assert "cannot be a project's name: use lower-case letters" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_startproject_leaves_an_existing_directory_alone(denzel: Denzel, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = denzel("startproject", "mine")
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert list((tmp_path / "mine").iterdir()) == []


def test_startproject_in_an_unwritable_place_is_one_line(denzel: Denzel, tmp_path: Path) -> None:
    done = denzel("startproject", "mine", cwd=Path("/proc/self"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "could not be written" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sync", "--async"], "Give one of --sync and --async"),
        ([], "Give one of --sync and --async"),
        (["--sync", "--timeout", "0"], "not a number of seconds above 0"),
        (["--sync", "--timeout", "nan"], "not a number of seconds above 0"),
        (["--sync", "--timeout", "inf"], "not a number of seconds above 0"),
        (["--sync", "--timeout", "-1"], "not a number of seconds above 0"),
        (["--sync", "--timeout", "soon"], "not a number of seconds"),
        (["--async", "--timeout", "3"], "--timeout goes with --sync alone"),
    ],
)
def test_response_refuses_what_makes_no_sense(
    denzel: Denzel, project: Project, arguments: list[str], said: str
) -> None:
    done = denzel("response", *arguments, cwd=project.root)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("option", ["--api-port", "--monitor-port"])
@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_launch_refuses_what_is_no_port(
    denzel: Denzel, project: Project, option: str, port: str
) -> None:
    done = denzel("launch", "--local", option, port, cwd=project.root)
    assert done.returncode == 2
    assert option in done.stderr


def test_launch_takes_one_backend(denzel: Denzel, project: Project) -> None:
    done = denzel("launch", "--local", "--docker", cwd=project.root)
    assert done.returncode == 2
    assert "exclude each other" in done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("API_PORT=99999", "API_PORT=99999 cannot be used: it takes a port, 1 to 65535"),
        ("PROJECT_NAME=My Shop", "PROJECT_NAME=My Shop cannot be used"),
        ("GPU=perhaps", "GPU=perhaps cannot be used: it takes 0 or 1"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    denzel: Denzel, project: Project, line: str, said: str
) -> None:
    project.env_file.write_text(f"# mine\n\n{line}\nUNKNOWN=1\nnothing\n")
    done = denzel("status", cwd=project.root)
    assert done.returncode == 2
    assert done.stderr == f"Error: In {project.env_file}: {said}" + done.stderr.partition(said)[2]
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("line", ["API_PORT=99999", "PROJECT_NAME=My Shop", "a b", "LOG_LEVEL=$A"])
@pytest.mark.parametrize("command", ["shutdown", "stop", "logs", "logworker"])
def test_what_stops_and_what_reads_logs_works_with_an_env_that_cannot_be_used(
    denzel: Denzel, project: Project, command: str, line: str
) -> None:
    (project.logs / "worker.log").write_text("ready\n")
    with project.env_file.open("a") as file:
        file.write(f"{line}\n")
    done = denzel(command, cwd=project.root)
    warning, going_on = done.stderr.splitlines()[:2]
    assert warning.startswith(f"In {project.env_file}: ")
    assert going_on == "Going on with what can be used of it"
    needs_services = command in ("stop", "logs")
    assert (f"Error: {NOT_LAUNCHED}\n" in done.stderr) == needs_services
    assert done.returncode == needs_services


def test_a_directory_that_is_gone_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = f"rmdir {tmp_path}/gone; {sys.executable} -P -m denzel status"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path / "gone", capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (
        1,
        "Error: You must be inside project's directory to call this command\n",
    )


def test_a_damaged_manifest_is_in_nobodys_way(denzel: Denzel, project: Project) -> None:
    manifest = project.root / ".denzel.json"
    manifest.write_text("{")
    assert denzel("status", cwd=project.root).returncode == 0
    assert denzel("upgrade", cwd=project.root).returncode == 0
    assert json.loads(manifest.read_text())


@pytest.mark.parametrize("command", ["launch", "start", "restart"])
def test_a_monitor_for_everybody_is_refused(denzel: Denzel, project: Project, command: str) -> None:
    project.set_environment(MONITOR_HOST="0.0.0.0")
    done = denzel(command, cwd=project.root)
    assert done.returncode == 2
    assert "MONITOR_HOST=0.0.0.0" in done.stderr
    assert "MONITOR_USER in .env and MONITOR_PASSWORD in .env.secrets" in done.stderr


def test_callbacks_takes_one_change(denzel: Denzel, project: Project) -> None:
    done = denzel("callbacks", "--retry", "all", "--drop", "all", cwd=project.root)
    assert done.returncode == 2
    assert "Give one of --retry and --drop" in done.stderr


def test_demo_leaves_a_directory_that_is_not_its_own_alone(denzel: Denzel, tmp_path: Path) -> None:
    (tmp_path / "denzel_demo").mkdir()
    done = denzel("demo")
    assert done.returncode == 1
    assert "is not a denzel project" in done.stderr


def test_demo_shutdown_without_a_demo_says_so(denzel: Denzel) -> None:
    done = denzel("demo", "--shutdown")
    assert done.returncode == 1
    assert "There is no demo" in done.stderr


def test_doctor_json_is_a_list_of_findings_with_remedies(denzel: Denzel) -> None:
    findings = json.loads(denzel("doctor", "--json").stdout)
    assert findings
    for finding in findings:
        assert set(finding) == {"name", "ok", "detail", "remedy", "needed"}
        assert finding["ok"] or finding["remedy"]


@pytest.mark.parametrize("command", [["logworker", "--live"], ["status", "--live"]], ids=" ".join)
def test_ctrl_c_ends_what_is_live_without_an_error(project: Project, command: list[str]) -> None:
    (project.logs / "worker.log").write_text("ready\n")
    with running([sys.executable, "-m", "denzel", *command], project.root) as child:
        assert child.stdout is not None
        assert child.stdout.readline() in ("ready\n", NOT_LAUNCHED + "\n")
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=10)
    assert (child.returncode, errors.strip()) == (0, "")


@pytest.mark.parametrize(
    ("command", "operation", "said"),
    [
        ("launch", "launch", "`denzel shutdown` removes what was started"),
        ("start", "start", "`denzel start` again starts"),
        ("restart", "restart", "`denzel start` starts them"),
        ("updatepipreqs", "update", "`denzel start` starts them"),
        ("reload", "reload", "services go on as they were"),
        ("scale denzel=2", "scale", "run it again with the numbers"),
        ("stop", "stop", "`denzel stop` again stops"),
        ("shutdown", "shutdown", "`denzel shutdown` again removes"),
        ("build", "build", "nothing was pushed"),
        ("status --wait", "wait_until_ready", "the services go on"),
    ],
)  # fmt: skip
def test_ctrl_c_says_what_is_left_and_how_to_go_on(
    project: Project, monkeypatch: pytest.MonkeyPatch, command: str, operation: str, said: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(project.root)
    monkeypatch.setattr(f"denzel.operations.{operation}", interrupt)
    done = CliRunner().invoke(main, command.split())
    assert done.exit_code == 130
    assert done.stderr.startswith("Error: Interrupted; ")
    assert said in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(project: Project) -> None:
    (project.logs / "worker.log").write_text("line\n" * 100_000)
    with running([sys.executable, "-m", "denzel", "logworker"], project.root) as child:
        assert child.stdout is not None and child.stderr is not None
        assert child.stdout.readline() == "line\n"
        child.stdout.close()
        assert child.stderr.read() == ""


def test_status_of_a_project_that_is_not_launched(denzel: Denzel, project: Project) -> None:
    done = denzel("status", cwd=project.root)
    assert (done.stdout, done.returncode) == (NOT_LAUNCHED + "\n", 0)
    assert json.loads(denzel("status", "--json", cwd=project.root).stdout)["launched"] is False


@pytest.mark.parametrize("command", ["start", "stop", "restart", "logs", "shell", "updatereqs"])
def test_what_needs_services_says_that_there_are_none(
    denzel: Denzel, project: Project, command: str
) -> None:
    done = denzel(command, cwd=project.root)
    assert (done.stderr, done.returncode) == (f"Error: {NOT_LAUNCHED}\n", 1)


def test_modules_of_the_users_stand_in_for_none(project: Project, denzel: Denzel) -> None:
    for name in ("queue", "json", "click"):
        (project.root / f"{name}.py").write_text("raise SystemExit('taken from the project')")
    done = denzel("status", cwd=project.root)
    assert (done.stdout, done.stderr) == (f"{NOT_LAUNCHED}\n", "")
