"""What every backend must do: one suite, run on each of them.

A module that runs it has a subclass, and two fixtures of module scope: ``reported``, an empty
list, and ``backend``, a backend for a new project that holds the probe (``write_probe``) and
appends what it reports to that list; it is taken down at the end.  The tests are one life of a
deployment, told in order: each takes it up where the one before left it.
"""

from __future__ import annotations

import json
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import islice

import pytest

from denzel.backends.base import Backend
from denzel.errors import CommandError, ServiceError
from denzel.polling import polls
from denzel.project import Project
from denzel.services import SERVICES, State, Status

READY_SECONDS = 180.0

PROBE = '''
"""Answers the contract tests' questions from where a service runs."""
import json, os, socket, sys
from urllib.parse import urlsplit

def redis(*words):
    url = urlsplit(os.environ["OWN_REDIS_URL"])
    if url.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(url.path)
    else:
        connection = socket.create_connection((url.hostname, url.port))
    with connection:
        connection.sendall(f"AUTH {os.environ['REDIS_PASSWORD']}\\r\\n".encode())
        assert connection.recv(1024) == b"+OK\\r\\n"
        connection.sendall((" ".join(words) + "\\r\\n").encode())
        return connection.recv(1024).decode()

match sys.argv[1:]:
    case ["echo", *words]:
        print(json.dumps({"words": words, "stdin": sys.stdin.read(), "cwd": os.listdir()}))
    case ["environment", name]:
        print(os.environ.get(name, ""), end="")
    case ["redis", *words]:
        print(redis(*words), end="")
    case ["fail"]:
        print("the reason is this", file=sys.stderr)
        sys.exit(7)
'''


def wait_until(
    predicate: Callable[[], bool], seconds: float, failure: Callable[[], object]
) -> None:
    """Return once ``predicate`` holds; after ``seconds`` fail with what ``failure`` says."""
    for _ in polls(0.1, timeout=seconds):
        if predicate():
            return
    pytest.fail(f"not within {seconds:g} s: {failure()}")


def wait_until_ready(backend: Backend, seconds: float = READY_SECONDS) -> Status:
    """Return the status once all of it says UP."""
    wait_until(lambda: backend.status().ready, seconds, backend.status)
    return backend.status()


def wait_until_replicated(backend: Backend, **replicas: int) -> Status:
    """Return the status once all of it says UP, with so many replicas of services."""

    def is_replicated() -> bool:
        status = backend.status()
        found = {line.name: line.replicas for line in status.services}
        workers = replicas.get("denzel", len(status.workers))
        return status.ready and replicas.items() <= found.items() and len(status.workers) == workers

    wait_until(is_replicated, READY_SECONDS, backend.status)
    return backend.status()


def states(backend: Backend) -> dict[str, State]:
    """Return each service's state by name."""
    return {line.name: line.state for line in backend.status().services}


def write_probe(project: Project) -> None:
    """Put the module the contract asks its questions through into ``project``."""
    (project.root / "app" / "contract_probe.py").write_text(PROBE, encoding="utf-8")


class BackendContract(ABC):
    """The suite."""

    @abstractmethod
    def crash(self, backend: Backend, service: str) -> None:
        """Kill the main process of ``service`` (SIGKILL)."""

    def test_is_not_launched_at_first(self, backend: Backend) -> None:
        assert not backend.launched()
        assert not backend.running()

    def test_up_starts_every_service(self, backend: Backend, reported: list[str]) -> None:
        backend.preflight()
        backend.project.record_backend(backend.name)
        backend.up()
        assert backend.launched()
        assert backend.running()
        assert reported
        status = wait_until_ready(backend)
        assert tuple(line.name for line in status.services) == SERVICES
        ports = {line.name: line.port for line in status.services}
        settings = backend.project.settings
        assert ports["api"] == settings.api_port
        assert ports["monitor"] == settings.monitor_port
        assert [worker.name for worker in status.workers] == [settings.worker_name]

    def test_run_hands_over_arguments_and_input(self, backend: Backend) -> None:
        words = ["two words", "it's", '"quoted"', "100%", "$HOME", "é"]
        answer = backend.run("api", "app.contract_probe", "echo", *words, stdin="sämple".encode())
        echoed = json.loads(answer)
        assert echoed["words"] == words
        assert echoed["stdin"] == "sämple"
        assert {"app", "entrypoints", "requirements.txt"} <= set(echoed["cwd"])

    def test_a_bare_python_runs_what_needs_no_packages(self, backend: Backend) -> None:
        assert backend.run_bare("api", "app.contract_probe", "redis", "PING") == "+PONG\r\n"

    def test_run_tells_why_a_module_failed(self, backend: Backend) -> None:
        with pytest.raises(CommandError, match="the reason is this"):
            backend.run("api", "app.contract_probe", "fail")

    def test_logs_end_with_the_last_lines(self, backend: Backend) -> None:
        everything = list(backend.logs(["redis", "api"], follow=False, tail=None))
        assert {line.service for line in everything} == {"redis", "api"}
        redis = [line.text for line in everything if line.service == "redis"]
        assert len(redis) > 2
        last = list(backend.logs(["redis"], follow=False, tail=2))
        assert [line.text for line in last] == redis[-2:]
        assert list(backend.logs(["redis"], follow=False, tail=0)) == []

    def test_followed_logs_show_what_is_written_later(self, backend: Backend) -> None:
        followed = backend.logs(["redis"], follow=True, tail=1)
        assert len(list(islice(followed, 1))) == 1
        assert backend.run("api", "app.contract_probe", "redis", "BGREWRITEAOF")[0] == "+"
        wanted = (line for line in followed if "rewrite" in line.text.lower())
        assert next(wanted).service == "redis"

    def test_a_crashed_service_comes_back(self, backend: Backend) -> None:
        self.crash(backend, "api")
        wait_until(
            lambda: states(backend)["api"] is not State.UP, 20, lambda: "the crash was not seen"
        )
        wait_until_ready(backend)

    def test_stop_keeps_what_redis_holds(self, backend: Backend) -> None:
        stored = backend.run("api", "app.contract_probe", "redis", "SET", "contract", "kept")
        assert stored == "+OK\r\n"
        backend.stop()
        assert backend.launched()
        assert not backend.running()
        assert set(states(backend).values()) == {State.DOWN}
        assert not backend.status().workers
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", backend.project.settings.api_port)) != 0

    def test_nothing_can_be_run_in_a_stopped_service(self, backend: Backend) -> None:
        with pytest.raises(ServiceError, match="denzel start"):
            backend.run("api", "app.contract_probe", "echo")
        with pytest.raises(ServiceError, match="denzel start"):
            backend.run_bare("api", "app.contract_probe", "echo")

    def test_stopping_twice_is_no_error(self, backend: Backend) -> None:
        backend.stop()

    def test_logs_of_a_stopped_service_can_be_read(self, backend: Backend) -> None:
        assert list(backend.logs(["redis"], follow=False, tail=1))

    def test_start_brings_everything_back(self, backend: Backend) -> None:
        backend.start()
        wait_until_ready(backend)
        stored = backend.run("api", "app.contract_probe", "redis", "GET", "contract")
        assert stored == "$4\r\nkept\r\n"

    def test_starting_twice_is_no_error(self, backend: Backend) -> None:
        backend.start()
        assert wait_until_ready(backend).ready

    def test_scale_starts_further_workers_beside_the_first(self, backend: Backend) -> None:
        backend.project.set_environment(WORKER_REPLICAS="3")
        backend.scale(["denzel"])
        status = wait_until_replicated(backend, denzel=3)
        assert len({worker.name for worker in status.workers}) == 3
        assert backend.project.settings.worker_name in {worker.name for worker in status.workers}
        assert backend.replicas("denzel") == ["denzel", "denzel-2", "denzel-3"]
        assert backend.replicas("api") == ["api"]

    def test_logs_tell_replicas_apart(self, backend: Backend) -> None:
        lines = list(backend.logs(["denzel"], follow=False, tail=None))
        assert {line.service for line in lines} == {"denzel", "denzel-2", "denzel-3"}

    def test_the_memory_of_a_replica_is_known(self, backend: Backend) -> None:
        used, total = backend.memory("denzel")
        assert 0 < used < total

    def test_a_crashed_replica_comes_back_under_its_name(self, backend: Backend) -> None:
        before = {worker.name for worker in backend.status().workers}
        self.crash(backend, "denzel-2")
        wait_until(lambda: not backend.status().ready, 20, lambda: "the crash was not seen")
        status = wait_until_replicated(backend, denzel=3)
        assert {worker.name for worker in status.workers} == before

    def test_replicas_survive_stop_and_start(self, backend: Backend) -> None:
        backend.stop()
        assert not backend.status().workers
        backend.start()
        wait_until_replicated(backend, denzel=3)

    def test_scale_ends_workers(self, backend: Backend) -> None:
        backend.project.set_environment(WORKER_REPLICAS="1")
        backend.scale(["denzel"])
        wait_until_replicated(backend, denzel=1)
        assert backend.replicas("denzel") == ["denzel"]

    def test_restart_reads_the_settings_afresh(self, backend: Backend) -> None:
        backend.project.set_environment(LOG_LEVEL="warning", RESULT_TTL="1234")
        backend.restart()
        wait_until_ready(backend)
        ttl = backend.run("api", "app.contract_probe", "environment", "RESULT_TTL")
        assert ttl == "1234"
        stored = backend.run("api", "app.contract_probe", "redis", "GET", "contract")
        assert stored == "$4\r\nkept\r\n"

    def test_down_removes_the_deployment_alone(self, backend: Backend) -> None:
        root = backend.project.root
        visible = {path.name for path in root.iterdir() if not path.name.startswith(".")}
        backend.down(purge=False)
        backend.project.record_backend(None)
        assert not backend.running()
        assert not backend.launched()
        assert visible == {path.name for path in root.iterdir() if not path.name.startswith(".")}

    def test_down_twice_is_no_error(self, backend: Backend) -> None:
        backend.down(purge=False)

    def test_up_after_down_is_a_new_deployment(self, backend: Backend) -> None:
        backend.project.record_backend(backend.name)
        backend.up()
        # Whatever the services still install.
        assert backend.run_bare("api", "app.contract_probe", "redis", "PING") == "+PONG\r\n"
        wait_until_ready(backend)

    def test_purge_takes_a_running_deployment_down_whatever_env_says(
        self, backend: Backend
    ) -> None:
        env_file = backend.project.env_file
        before = env_file.read_text(encoding="utf-8")
        env_file.write_text(
            before.replace("PROJECT_NAME=", "PROJECT_NAME=No Such ") + 'API_PORT=many\nnothing "\n',
            encoding="utf-8",
        )
        for name in (".denzel.json", ".denzel/launch.json", "docker-compose.yml"):
            (backend.project.root / name).write_text("<<<<<<< HEAD\n", encoding="utf-8")
        lenient = type(backend)(Project(backend.project.root, lenient=True), backend.report)
        assert list(islice(lenient.logs(["redis"], follow=False, tail=1), 1))
        lenient.stop()
        assert not lenient.running()
        lenient.down(purge=True)
        env_file.write_text(before, encoding="utf-8")
        backend.project.record_backend(None)
        assert not backend.running()
        assert not backend.launched()
