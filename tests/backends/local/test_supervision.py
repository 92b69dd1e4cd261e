"""supervisord's configuration, its log, and questions that nobody answers."""

from __future__ import annotations

import configparser
import shlex
import socket
from pathlib import Path

import pytest

from denzel.backends.local import supervision
from denzel.backends.local.supervision import (
    PROGRAMS,
    Crashes,
    NotSupervised,
    Supervisor,
    read_crashes,
    replicated,
    supervisor_config,
)
from denzel.errors import ServiceError
from denzel.services import SERVICES, START_ORDER

START = "2026-11-23 07:41:44,012 INFO supervisord started with pid 29430\n"
CRASH = "2026-11-23 07:42:01,100 WARN exited: api (exit status 3; not expected)\n"
KILLED = "2026-11-23 07:42:02,100 WARN exited: api (terminated by SIGKILL; not expected)\n"
STAYED = (
    "2026-11-23 07:42:30,000 INFO success: api entered RUNNING state, process has stayed up "
    "for > than 20 seconds (startsecs)\n"
)


def config() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(supervisor_config())
    return parser


def test_every_service_is_a_program() -> None:
    assert {program.name for program in PROGRAMS} == set(SERVICES)
    assert tuple(program.name for program in PROGRAMS) == START_ORDER


def test_commands_as_they_are_executed() -> None:
    commands = {
        program.name: shlex.split(config()[f"program:{program.name}"]["command"])
        for program in PROGRAMS
    }
    assert commands["redis"] == ["bash", "-c", 'exec "$DENZEL_REDIS_SERVER" "$DENZEL_REDIS_CONFIG"']
    assert commands["api"] == ["bash", "entrypoints/api.sh"]


def test_redis_starts_first_and_a_worker_may_finish_its_predictions() -> None:
    priorities = {name: int(config()[f"program:{name}"]["priority"]) for name in SERVICES}
    assert min(priorities, key=lambda name: priorities[name]) == "redis"
    assert config()["program:denzel"]["stopwaitsecs"] == "30"
    assert not config()["program:denzel"].getboolean("stopasgroup")
    assert config()["program:denzel"].getboolean("killasgroup")


def test_nothing_is_expanded_but_the_socket() -> None:
    expanded = [line for line in supervisor_config().splitlines() if "%" in line]
    assert expanded == ["file=%(ENV_DENZEL_SUPERVISOR_SOCKET)s"]


@pytest.mark.parametrize(
    ("log", "crashes"),
    [
        ("", {}),
        (START + CRASH, {"api": Crashes(1, "exit status 3")}),
        (START + CRASH + KILLED, {"api": Crashes(2, "terminated by SIGKILL")}),
        (START + CRASH + STAYED, {}),
        (START + CRASH + STAYED + KILLED, {"api": Crashes(1, "terminated by SIGKILL")}),
        (CRASH + CRASH + START, {}),
    ],
)
def test_crashes_in_a_row(tmp_path: Path, log: str, crashes: dict[str, Crashes]) -> None:
    file = tmp_path / "supervisord.log"
    file.write_text(log)
    assert read_crashes(file) == crashes


def test_no_log_tells_of_no_crash(tmp_path: Path) -> None:
    assert read_crashes(tmp_path / "missing") == {}


def test_no_supervisor(tmp_path: Path) -> None:
    with pytest.raises(NotSupervised):
        Supervisor(tmp_path / "missing.sock").processes()


def test_a_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "s"))
    with pytest.raises(NotSupervised):
        Supervisor(tmp_path / "s").processes()


def test_a_supervisor_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "ANSWER_SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with pytest.raises(ServiceError, match="denzel restart"):
            Supervisor(tmp_path / "s").processes()


def test_replicas_have_run_directories_of_their_own_and_apis_share_their_port() -> None:
    found = {each.name: each.command for each in replicated(PROGRAMS, {"api": 2, "denzel": 2})}
    assert list(found) == ["redis", "api", "api-2", "denzel", "denzel-2", "callbacks", "monitor"]
    assert found["denzel"] == "bash entrypoints/denzel.sh"
    assert found["denzel-2"] == (
        'bash -c \'DENZEL_REPLICA=2 DENZEL_RUN_DIR="$DENZEL_RUN_DIR/denzel-2" '
        "exec bash entrypoints/denzel.sh'"
    )
    assert all("API_SHARES_PORT=1" in found[name] for name in ("api", "api-2"))
    assert replicated(PROGRAMS, {"api": 1, "denzel": 1}) == PROGRAMS
