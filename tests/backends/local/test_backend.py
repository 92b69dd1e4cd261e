"""Local processes when things go wrong: crashes, hangs, killed supervisors, power failures."""

from __future__ import annotations

import json
import os
import pty
import resource
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from backends.contract import states, wait_until, wait_until_ready
from backends.stand_in_project import (
    SOON,
    Launched,
    alive,
    behave,
    line,
    processes,
    stand_in_project,
    supervisor_pid,
)
from denzel.backends.local import supervision
from denzel.backends.local.backend import LocalBackend
from denzel.errors import EngineError, RequirementsError, ServiceError
from denzel.ports import free_port
from denzel.project import Project
from denzel.services import SERVICES, State


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return stand_in_project(tmp_path)


def test_a_crash_loop_is_an_error_that_says_where_to_look(project: Project) -> None:
    behave(project, "api", "crash")
    with Launched(project) as backend:
        wait_until(lambda: line(backend, "api").state is State.ERROR, SOON, backend.status)
        detail = line(backend, "api").detail
        assert "exit status 3" in detail
        assert "logs/api.log" in detail
        assert line(backend, "monitor").state is State.UP
        behave(project, "api", "")
        wait_until_ready(backend, SOON)


def test_apis_share_their_port_and_one_may_die(project: Project) -> None:
    project.set_environment(API_REPLICAS="2")
    port = project.settings.api_port
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        assert line(backend, "api").replicas == 2
        logged = backend.logs(["api"], follow=False, tail=None)
        pids = {entry.service: int(entry.text.split()[1]) for entry in logged}
        os.kill(pids["api-2"], signal.SIGKILL)
        for _ in range(20):
            with suppress(ConnectionResetError), socket.create_connection(("127.0.0.1", port)):
                pass  # it is accepted by whoever listens still, or comes back in a second
        wait_until_ready(backend, SOON)
        project.set_environment(API_REPLICAS="1")
        backend.scale(["api"])
        wait_until_ready(backend, SOON)
        assert line(backend, "api").replicas == 1
        with socket.create_connection(("127.0.0.1", port)):
            pass


def test_what_a_service_says_of_itself_is_shown(project: Project) -> None:
    behave(project, "api", "fail")
    behave(project, "monitor", "install")
    behave(project, "denzel", "load")
    with Launched(project) as backend:
        expected = {"api": State.ERROR, "monitor": State.PIP_INSTALLING, "denzel": State.UP}
        wait_until(lambda: expected.items() <= states(backend).items(), SOON, backend.status)
        assert line(backend, "api").detail == "no such package"
        assert [worker.state for worker in backend.status().workers] == [State.LOADING]
        with pytest.raises(ServiceError, match=r"monitor is not ready \(PIP INSTALLING"):
            backend.run("monitor", "app.contract_probe", "echo")


def test_a_killed_worker_is_not_shown_up_by_its_old_word(project: Project) -> None:
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        behave(project, "denzel", "load")
        os.kill(supervised(project, "denzel"), signal.SIGKILL)
        wait_until(
            lambda: [worker.state for worker in backend.status().workers] == [State.LOADING],
            SOON,
            backend.status,
        )
        behave(project, "denzel", "silent")
        os.kill(supervised(project, "denzel"), signal.SIGKILL)
        wait_until(lambda: line(backend, "denzel").state is not State.UP, SOON, backend.status)
        wait_until(
            lambda: "silent" in (project.logs / "denzel.log").read_text(), SOON, backend.status
        )
        assert line(backend, "denzel").state is not State.UP


def supervised(project: Project, service: str) -> int:
    """Return the process id that a service's stand-in printed last."""
    return int((project.logs / f"{service}.log").read_text().splitlines()[-1].split()[1])


def test_a_service_that_hangs_is_killed(project: Project) -> None:
    behave(project, "monitor", "hang")
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        backend.stop()
        assert processes(project) == []


def test_what_another_version_of_denzel_started_is_stopped(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = [program for program in supervision.PROGRAMS if program.name != "callbacks"]
    more = supervision.Program("extra", "bash entrypoints/monitor.sh", 10, 5)
    text = supervision.supervisor_config([*fewer, more])
    monkeypatch.setattr("denzel.backends.local.lifecycle.supervisor_config", lambda *_, **__: text)
    with Launched(project) as backend:
        wait_until(lambda: states(backend)["api"] is State.UP, SOON, backend.status)
        assert states(backend)["callbacks"] is State.DOWN
        monkeypatch.undo()
        backend.restart()
        wait_until_ready(backend, SOON)


def test_children_that_left_their_service_are_ended(project: Project) -> None:
    behave(project, "api", "daemon")
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        children = [
            int(file.name.removeprefix("child-"))
            for file in (project.root / "stand_in").glob("child-*")
        ]
        assert len(children) == 2
        backend.stop()
        assert not [pid for pid in children if alive(pid)]


def test_services_whose_supervisor_was_killed_are_shown_and_ended(project: Project) -> None:
    behave(project, "api", "daemon")
    launched = Launched(project)
    with launched as backend:
        wait_until_ready(backend, SOON)
        orphans = processes(project)
        os.kill(supervisor_pid(project), signal.SIGKILL)
        wait_until(lambda: set(states(backend).values()) == {State.ERROR}, SOON, backend.status)
        assert "`denzel restart`" in line(backend, "redis").detail
        assert backend.launched()
        assert backend.running()  # so that `denzel start` takes no port of theirs for a stranger's
        assert backend.run("api", "app.contract_probe", "redis", "PING") == "+PONG\r\n"
        os.kill(supervised(project, "monitor"), signal.SIGKILL)
        wait_until(lambda: states(backend)["monitor"] is State.DOWN, SOON, backend.status)
        backend.start()
        wait_until_ready(backend, SOON)
        assert not set(orphans) & set(processes(project))
        os.kill(supervisor_pid(project), signal.SIGKILL)
        launched.reported.clear()
        backend.down(purge=False)
        assert processes(project) == []
        stopped = [said.split()[1] for said in launched.reported]
        assert set(stopped) == set(SERVICES)
        assert stopped[-1] == "redis"


def test_a_supervisor_that_hangs_is_replaced(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denzel.backends.local.supervision.ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("denzel.backends.local.lifecycle.LEFTOVER_SECONDS", 1.0)
    with Launched(project) as backend:
        hanging = supervisor_pid(project)
        os.kill(hanging, signal.SIGSTOP)
        with pytest.raises(ServiceError, match="denzel restart"):
            backend.status()
        backend.restart()
        wait_until_ready(backend, SOON)
        assert not alive(hanging)


def test_a_restart_with_requirements_that_fail_leaves_the_services_alone(project: Project) -> None:
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        before = processes(project)
        (project.root / "app/runtime/requirements.txt").write_text("")
        (project.root / "requirements.txt").write_text("=== nothing pip can read ===\n")
        with pytest.raises(RequirementsError, match="requirements"):
            backend.prepare(0)
        assert set(before) <= set(processes(project))
        assert states(backend)["api"] is State.UP


def test_what_says_up_and_does_not_answer_is_an_error(project: Project) -> None:
    behave(project, "api", "deaf")
    with Launched(project) as backend:
        wait_until(lambda: line(backend, "api").state is State.ERROR, SOON, backend.status)
        port = project.settings.api_port
        assert line(backend, "api").detail == f"does not answer on port {port}"


def test_while_redis_hangs_nothing_that_needs_it_is_up(project: Project) -> None:
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        # A port changed in .env is not the one the running service listens on.
        project.set_environment(API_PORT=str(free_port(project.settings.api_port + 7)))
        assert states(backend)["api"] is State.UP
        (redis,) = [
            pid
            for pid in processes(project)
            if "redis-server" in Path(f"/proc/{pid}/comm").read_text()
            or "valkey-server" in Path(f"/proc/{pid}/comm").read_text()
        ]
        os.kill(redis, signal.SIGSTOP)
        try:
            lines = {line.name: line for line in backend.status().services}
        finally:
            os.kill(redis, signal.SIGCONT)
        for name in ("api", "denzel", "callbacks"):
            assert (lines[name].state, lines[name].detail) == (
                State.ERROR,
                "Redis does not answer",
            )
        hangs = "does not answer; `denzel restart` starts it anew"
        assert (lines["redis"].state, lines["redis"].detail) == (State.ERROR, hangs)
        assert lines["monitor"].state is State.UP
        wait_until_ready(backend, SOON)


def test_what_stands_where_logs_belong_keeps_nobody_from_stopping(project: Project) -> None:
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        shutil.rmtree(project.logs)
        project.logs.symlink_to("nowhere")
        backend.stop()
        assert processes(project) == []
        with pytest.raises(EngineError, match=r"logs is no directory.*: move it away"):
            backend.start()
        project.logs.unlink()
        backend.start()
        wait_until_ready(backend, SOON)
        shutil.rmtree(project.logs)
        project.logs.write_text("")
        backend.down(purge=False)
        assert processes(project) == []


def test_a_deployment_survives_a_restart_of_the_machine(project: Project) -> None:
    with Launched(project) as backend:
        for pid in processes(project):
            with suppress(ProcessLookupError):  # it went with its parent
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not processes(project), SOON, lambda: processes(project))
        note = project.private / "deployment.json"
        earlier = json.loads(note.read_text()) | {"boot": "another", "mark": "1-1"}
        note.write_text(json.dumps(earlier))
        assert backend.launched()
        assert set(states(backend).values()) == {State.DOWN}
        backend.start()
        wait_until_ready(backend, SOON)


def test_a_failing_redis_leaves_nothing_running(project: Project) -> None:
    data = project.private / "redis" / "appendonlydir"
    data.mkdir(parents=True)
    (data / "appendonly.aof.manifest").write_text("nonsense\n")
    project.record_backend("local")
    backend = LocalBackend(project, lambda _: None)
    with pytest.raises(ServiceError, match=r"(?s)Redis does not start.*manifest"):
        backend.up()
    assert processes(project) == []
    assert not backend.launched()


def test_redis_starts_after_a_power_failure(project: Project) -> None:
    launched = Launched(project)
    with launched as backend:
        wait_until_ready(backend, SOON)
        backend.run("api", "app.contract_probe", "redis", "SET", "kept", "1")
        backend.stop()
        (file,) = project.private.glob("redis/appendonlydir/*.incr.aof")
        with file.open("ab") as end:
            end.write(bytes(4096))
        backend.start()
        assert [said for said in launched.reported if "4096 zero bytes were cut off" in said]
        wait_until_ready(backend, SOON)
        assert backend.run("api", "app.contract_probe", "redis", "GET", "kept") == "$1\r\n1\r\n"
        backend.stop()
        file.write_bytes(file.read_bytes().replace(b"$4", b"?4"))
        with pytest.raises(ServiceError, match=r"damaged from byte \d+ on.*redis-check-aof --fix"):
            backend.start()


def test_an_interrupted_launch_leaves_nothing_running(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_socket: Path, _password: str) -> bool:
        assert processes(project)
        raise KeyboardInterrupt

    monkeypatch.setattr("denzel.backends.local.lifecycle.redis_answers", interrupt)
    project.record_backend("local")
    backend = LocalBackend(project, lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        backend.up()
    assert processes(project) == []
    assert not backend.launched()


def test_the_bundled_redis_serves_too(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = project.root / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "sleep"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        answer = backend.run("api", "app.contract_probe", "redis", "INFO", "server")
        assert "valkey_version" in answer


def test_closing_the_terminal_ends_nothing(project: Project) -> None:
    starts = (
        "import fcntl, sys, termios; from pathlib import Path;"
        "fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "from denzel.backends.local.backend import LocalBackend;"
        "from denzel.project import Project;"
        "LocalBackend(Project(Path(sys.argv[1])), print).start()"
    )
    with Launched(project) as backend:
        backend.stop()
        ours, its = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-c", starts, str(project.root)],
            stdin=its, stdout=its, stderr=its, start_new_session=True,
        ) as command:  # fmt: skip
            os.close(its)
            assert command.wait(SOON) == 0
        wait_until_ready(backend, SOON)
        os.close(ours)  # SIGHUP for all that belongs to the terminal
        for pid in processes(project):
            terminal = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4]
            assert terminal == "0"
        assert backend.status().ready


def test_what_services_print_is_logged_at_once(project: Project) -> None:
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        assert backend.run("api", "app.contract_probe", "environment", "PYTHONUNBUFFERED") == "1"


def test_services_may_open_many_files(project: Project) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        with Launched(project):
            limits = Path(f"/proc/{supervisor_pid(project)}/limits").read_text()
            line = next(line for line in limits.splitlines() if "open files" in line)
            assert int(line.split()[3]) == min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_requirements_sh_is_never_run(project: Project) -> None:
    script = project.root / "requirements.sh"
    script.write_text("# install\ntouch was-run\n")
    launched = Launched(project)
    with launched as backend:
        assert "requirements.sh is not run" in launched.reported[0]
        wait_until_ready(backend, SOON)
        with pytest.raises(RequirementsError, match="--docker"):
            backend.install(0, pip=False, os=True)
    assert not (project.root / "was-run").exists()
