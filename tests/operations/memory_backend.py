"""A backend that keeps its services in memory, and what the tests do with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from denzel import operations
from denzel.backends.base import Backend, LogLine, Report
from denzel.errors import EngineError, ServiceError
from denzel.operations import silent
from denzel.project import Project
from denzel.services import (
    REPLICA_SETTINGS,
    ServiceStatus,
    State,
    Status,
    WorkerStatus,
    replica_name,
)

UP = Status((ServiceStatus("api", State.UP, 8000),), (WorkerStatus("worker@x", State.UP),))


class Deployments:
    """What runs on this imagined machine: at most one deployment for each backend's name."""

    def __init__(self) -> None:
        self.up: set[str] = set()
        self.running: set[str] = set()
        self.done: list[str] = []
        self.unusable: set[str] = set()
        self.failure: BaseException | None = None
        self.leaves_something = False
        self.unswitchable = ""
        self.stuck = ""
        self.interrupted: set[str] = set()
        self.check_succeeds = True
        self.statuses: list[Status] = [UP]
        self.default = "docker"
        self.answer = ""
        self.replicas = 1

    def choose(self, project: Project, flag: str | None, report: Report) -> Backend:
        """Stand in for denzel.backends.choose."""
        return MemoryBackend(project, report, self, flag or project.backend or self.default)


class MemoryBackend(Backend):
    """Keeps a deployment's state in a Deployments object."""

    def __init__(self, project: Project, report: Report, machine: Deployments, name: str) -> None:
        super().__init__(project, report)
        self.machine = machine
        self.name = name  # type: ignore[misc]

    def _do(self, what: str) -> None:
        self.machine.done.append(f"{self.name} {what}")

    def preflight(self) -> None:
        self._do("preflight")

    def _ask_redis(self) -> str:
        return ""

    def launched(self) -> bool:
        if self.name in self.machine.unusable:
            raise EngineError(f"{self.name} is not there")
        return self.name in self.machine.up

    def running(self) -> bool:
        return self.name in self.machine.running

    def fetch(self, image: str) -> None:
        self._do(f"fetch {image}")

    def try_image(self, image: str, *options: str) -> str:
        self._do(f"try {image}")
        return json.dumps({"ok": self.machine.check_succeeds, "steps": []})

    def up(self) -> None:
        self._do("up")
        if self.machine.failure:
            self.machine.up |= {self.name} if self.machine.leaves_something else set()
            raise self.machine.failure
        self.machine.up.add(self.name)
        self.machine.running.add(self.name)

    def start(self) -> None:
        self._do("start")

    def stop(self) -> None:
        self._do("stop")

    def restart(self) -> None:
        self._do("restart")

    def down(self, *, purge: bool) -> None:
        self._do("purge" if purge else "down")
        self.machine.up.discard(self.name)

    def scale(self, services: Sequence[str]) -> None:
        numbers = [self.project.settings.worker_replicas, self.project.settings.api_replicas]
        self._do(f"scale {' '.join(services)} {numbers}")
        if self.machine.failure:
            raise self.machine.failure

    def replicas(self, service: str) -> list[str]:
        if service in REPLICA_SETTINGS and self.machine.replicas > 1:
            return [replica_name(service, each + 1) for each in range(self.machine.replicas)]
        return [service]

    def memory(self, service: str) -> tuple[int, int]:
        return 3 * 2**30, 8 * 2**30

    def status(self) -> Status:
        statuses = self.machine.statuses
        return statuses.pop(0) if len(statuses) > 1 else statuses[0]

    def logs(self, services: Sequence[str], *, follow: bool, tail: int | None) -> Iterator[LogLine]:
        return iter([LogLine(service, f"{follow} {tail}") for service in services])

    def shell(self, service: str, *, root: bool) -> int:
        return 3

    def run(self, service: str, module: str, *arguments: str, stdin: bytes = b"") -> str:
        self._do(" ".join(["run", service, module, *arguments]))
        if self.machine.failure:
            raise self.machine.failure
        return self.machine.answer

    def run_bare(self, service: str, module: str, *arguments: str) -> str:
        self._do(" ".join(["run bare", service, module, *arguments]))
        return ""

    def check(self, sample: bytes | None, *options: str, version: int = 0) -> str:
        self._do(" ".join(["check", *options]))
        ok = self.machine.check_succeeds
        return json.dumps({"ok": ok, "steps": [], "result": json.loads(sample or b"null")})

    def install(self, version: int, *, pip: bool, os: bool) -> None:
        self._do(f"install pip={pip} os={os}")

    def prepare(self, version: int) -> None:
        self._do(f"prepare {version}")
        if self.machine.failure:
            raise self.machine.failure

    def switch(self, service: str, version: int, *, stop_first: bool) -> None:
        self._do(f"switch {service} {version}{' stop first' if stop_first else ''}")
        if f"{service} {version}" in self.machine.interrupted:
            raise KeyboardInterrupt
        if service == self.machine.unswitchable or f"{service} {version}" == self.machine.stuck:
            raise ServiceError(f"{service}: the new one does not start")


IMAGE, NEWER = "host.example/shop:1", "host.example/shop:2"


def launch(
    project: Project, ports: tuple[int, int], backend: str | None = None
) -> operations.Deployment:
    """Launch on certain ports."""
    return operations.launch(
        project, backend=backend, api_port=ports[0], monitor_port=ports[1], report=silent
    )


def launch_image(
    project: Project, image: str, ports: tuple[int, int] | None = None
) -> operations.Deployment:
    """Launch an image; on certain ports, or on those it has."""
    api, monitor = ports or (None, None)
    return operations.launch(
        project, backend=None, api_port=api, monitor_port=monitor, image=image, report=silent
    )


def edit(project: Project, text: str) -> None:
    (project.root / "app/logic/pipeline.py").write_text(text, encoding="utf-8")
