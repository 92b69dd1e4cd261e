"""Run a project's services as processes of this machine, supervised by ``supervisor``."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from denzel import process
from denzel.backends.base import CHECK_MODULE, START, Backend, LogLine
from denzel.backends.local.deployment_record import DeploymentRecord
from denzel.backends.local.environment import service_environment, shell_startup
from denzel.backends.local.https import caddy_environment, check_https
from denzel.backends.local.layout import Layout
from denzel.backends.local.lifecycle import Lifecycle
from denzel.backends.local.observation import observe
from denzel.backends.local.preflight import (
    check_disk,
    check_platform,
    check_programs,
    holds_commands,
)
from denzel.backends.local.process_table import find_services
from denzel.backends.local.supervision import UNSUPERVISED, NotSupervised, Process
from denzel.backends.log_files import follow_logs, read_logs
from denzel.errors import (
    CommandError,
    EngineError,
    RequirementsError,
    ServiceError,
    UsageError,
)
from denzel.services import HTTPS, ServiceStatus, State, Status, number_of, service_of
from denzel.templates.project.app.runtime.metrics.processes import memory_bytes

IN_DOCKER_ALONE = "The image {image} runs in Docker alone: leave --local out"
LOG_REMOVED = "(the log was removed while the service ran; what it writes from now on is kept)"
UNPREPARED = (State.STARTING, State.PIP_INSTALLING, State.OS_COMMANDS)


class LocalBackend(Backend):
    """Services as local processes; everything they need lies in the project's ``.denzel``."""

    name = "local"

    @property
    def _layout(self) -> Layout:
        return Layout.of(self.project)

    @property
    def _lifecycle(self) -> Lifecycle:
        return Lifecycle(self.project, self._layout, self.report)

    def preflight(self) -> None:
        """Check system, Python, programs, disk and write access."""
        check_platform()
        check_programs(redis=not self.project.settings.redis_url)
        check_disk(self.project.root, installs=not self._layout.python.exists())
        check_https(self.project.settings)

    def launched(self) -> bool:
        """Tell whether the services were created and not shut down since, running or not."""
        elsewhere = self.project.backend not in (self.name, None)
        if self._lifecycle.abandoned():
            return True
        return not elsewhere and DeploymentRecord.read(self._layout) is not None

    def running(self) -> bool:
        """Tell whether any service is running now, be it without a supervisor."""
        supervised = any(known.alive for known in self._processes().values())
        return supervised or bool(self._lifecycle.processes())

    def fetch(self, image: str) -> None:
        """Refuse: no image is run as local processes."""
        raise UsageError(IN_DOCKER_ALONE.format(image=image))

    def try_image(self, image: str, *options: str) -> str:
        """Refuse, as :meth:`fetch` does."""
        raise UsageError(IN_DOCKER_ALONE.format(image=image))

    def up(self) -> None:
        """Create and start every service; on failure leave nothing running."""
        if holds_commands(self.project.root / "requirements.sh"):
            self.report(
                "requirements.sh is not run: it would change this machine itself. Install by "
                "hand what it installs, or launch with --docker"
            )
        with self._changing():
            try:
                self.check_redis()
                self._lifecycle.start()
            except BaseException:
                self._layout.deployment.unlink(missing_ok=True)
                raise

    def start(self) -> None:
        """Start the stopped services, also those given up after many crashes."""
        with self._changing():
            self.check_redis()
            try:
                self._lifecycle.supervisor.start_stopped()
            except NotSupervised:
                self._lifecycle.start()

    def stop(self) -> None:
        """Stop every service; queue, results and response mode stay on disk."""
        if not self._layout.private.exists():
            self._lifecycle.end_abandoned()
            return
        with self._as_engine_error():
            self._lifecycle.stop()

    def restart(self) -> None:
        """Stop and start every service, reading ``.env`` and the user's code afresh."""
        self.project.forget()
        # What is wrong in .env is told while the services still run.
        service_environment(self.project, self._layout, self._layout.run)
        if not self._serves_https():
            check_https(self.project.settings)
        caddy_environment(self.project.settings)
        with self._changing():
            self.check_redis()
            self._lifecycle.stop()
            self._lifecycle.start()

    def scale(self, services: Sequence[str]) -> None:
        """Run as many replicas of ``services`` as ``.env`` says."""
        self.project.forget()
        with self._changing():
            try:
                self._lifecycle.scale(services)
            except NotSupervised as error:
                raise ServiceError(
                    "The services' supervisor is gone; `denzel restart` starts them anew"
                ) from error

    def replicas(self, service: str) -> list[str]:
        """Return the names of a service's running replicas."""
        found = [
            name
            for name, known in self._processes().items()
            if service_of(name) == service and known.alive
        ]
        if not found:
            raise ServiceError(f"{service} is down; run `denzel start` first")
        return sorted(found, key=number_of)

    def memory(self, service: str) -> tuple[int, int]:
        """Return the bytes that the largest running replica uses, and those the machine has."""
        used = dict.fromkeys(self.replicas(service), 0)
        for pid, name in find_services(self._layout.mark).items():
            if name in used:
                used[name] += memory_bytes(pid)
        return max(used.values()), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def down(self, *, purge: bool) -> None:
        """Stop everything; with ``purge`` remove the packages, the queue and the results."""
        if not self._layout.private.exists():
            self._lifecycle.end_abandoned()
            return
        with self._as_engine_error():
            self._lifecycle.stop()
            self._layout.deployment.unlink(missing_ok=True)
            if purge:
                own = "" if self.project.settings.redis_url else ", queue and results"
                self.report(f"Removing installed packages{own}")
                shutil.rmtree(self._layout.private)

    def status(self) -> Status:
        """Return the state of each service and worker at this moment."""
        return observe(self.project.settings, self._layout, self._processes())

    def logs(self, services: Sequence[str], *, follow: bool, tail: int | None) -> Iterator[LogLine]:
        """Yield what ``services`` wrote, service by service; ``tail`` counts for each."""
        further = [name for name in sorted(self._known(), key=number_of) if number_of(name) > 1]
        files = {
            name: self.project.logs / f"{name}.log"
            for service in services
            for name in (service, *(each for each in further if service_of(each) == service))
        }
        removed = [LogLine(name, LOG_REMOVED) for name in self._lifecycle.reopen_logs(files)]
        return chain(removed, follow_logs(files, tail) if follow else read_logs(files, tail))

    def shell(self, service: str, *, root: bool) -> int:
        """Open bash in the project's directory, with the services' environment and packages."""
        if root:
            raise UsageError("Local processes run as you do; --root is for services in Docker")
        self._require(service)
        startup = shell_startup(self._layout)
        # Without a terminal bash reads commands from its standard input, and no start-up file.
        interactive = ["--rcfile", str(startup), "-i"] if sys.stdin.isatty() else []
        terminal = {name: os.environ[name] for name in ("TERM", "COLORTERM") if name in os.environ}
        call = self._bootstrap_call("--version", "0", "--run", "bash", *interactive)
        return process.attach(**{**call, "env": {**terminal, **call["env"]}})

    def run(self, service: str, module: str, *arguments: str, stdin: bytes = b"") -> str:
        """Run a module of the project with the services' environment; return its stdout."""
        self._require(service)
        return self._run_module(module, *arguments, stdin=stdin)

    def run_bare(self, service: str, module: str, *arguments: str) -> str:
        """Run a module that needs the standard library alone, be the services ready or not."""
        self._line(service)
        output = process.run(
            [sys.executable, "-P", START, module, *arguments],
            cwd=self.project.root,
            env=service_environment(self.project, self._layout, self._layout.sockets),
        )
        return output.decode(errors="replace")

    def check(self, sample: bytes | None, *options: str, version: int = 0) -> str:
        """Run the pipeline without services, its requirements installed first."""
        check_platform()
        check_programs(redis=not self.project.settings.redis_url)
        check_disk(self.project.root, installs=not self._layout.python.exists())
        with self.project.changing():  # a purge would remove what is being installed
            with self._as_engine_error():
                self._layout.create()
            self._prepare("check", version)
        return self._run_module(CHECK_MODULE, *options, stdin=sample or b"", version=version)

    def install(self, version: int, *, pip: bool, os: bool) -> None:
        """Install requirements.txt; refuse to run requirements.sh on the user's own machine."""
        # With both asked for, a script without commands is no reason to refuse.
        if os and (not pip or holds_commands(self.project.root / "requirements.sh")):
            raise RequirementsError(
                "requirements.sh is never run with local processes: it would change this machine "
                "itself. Install by hand what it installs (and use `denzel updatepipreqs`), or "
                "deploy with Docker: `denzel shutdown`, then `denzel launch --docker`"
            )
        if pip:
            self._prepare("pip", version)

    def prepare(self, version: int) -> None:
        """Install the packages a version requires beside those the services use."""
        self._prepare("check", version)

    def _ask_redis(self) -> str:
        """Run the project's own check of Redis; return what it prints."""
        return self._bootstrap("--version", "0", "--check-redis", "api").decode(errors="replace")

    def _serves_https(self) -> bool:
        """Tell whether Caddy runs, and so has its ports already."""
        try:
            return HTTPS in self._processes()
        except ServiceError:
            return True  # their supervisor hangs; the restart will show

    def switch(self, replica: str, version: int, *, stop_first: bool) -> None:
        """Have a service's replica go on with another version."""
        options = ["--stop-first"] if stop_first else []
        options += [service_of(replica)]
        call = self._bootstrap_call("--version", str(version), "--switch", *options)
        call["env"]["DENZEL_RUN_DIR"] = str(self._layout.run_of(replica))
        try:
            process.run(**call)
        except CommandError as error:
            raise ServiceError(error.last_line) from error

    def _known(self) -> set[str]:
        """Return the services' replicas that there are, as far as it can be told."""
        try:
            return set(self._processes())
        except ServiceError:
            return set()

    def _processes(self) -> dict[str, Process]:
        """Return supervisord's knowledge of each service; without one, which services run."""
        try:
            return self._lifecycle.supervisor.processes()
        except NotSupervised:
            names = self._lifecycle.unsupervised()
            return {name: Process(name, UNSUPERVISED, started=0) for name in names}

    def _require(self, name: str) -> None:
        """Raise ServiceError unless a service runs and its packages are installed."""
        line = self._line(name)
        if line.state in UNPREPARED or not self._layout.python.exists():
            detail = line.detail or "try again when `denzel status` shows it UP"
            raise ServiceError(f"{name} is not ready ({line.state.rstrip('.')}): {detail}")

    def _line(self, name: str) -> ServiceStatus:
        """Return what the status says of a service; raises ServiceError when it is down."""
        lines = {line.name: line for line in self.status().services}
        if name not in lines:
            raise ServiceError(f"There is no service {name!r}; there are {', '.join(lines)}")
        if lines[name].state is State.DOWN:
            raise ServiceError(f"{name} is down; run `denzel start` first")
        return lines[name]

    def _run_module(
        self, module: str, *arguments: str, stdin: bytes, version: int | None = None
    ) -> str:
        """Run a module with the services' packages, in the version that serves or another one."""
        chosen = [] if version is None else ["--version", str(version)]
        run = ["--run", "python", "-P", START, module]
        return self._bootstrap(*chosen, *run, *arguments, stdin=stdin).decode(errors="replace")

    def _prepare(self, what: str, version: int) -> None:
        """Install beside the services; the output goes to ``report``."""
        options = ["--version", str(version), "--install", what, "update"]
        try:
            process.relay(**self._bootstrap_call(*options), receive=self.report)
        except CommandError as error:
            # The last line that app.runtime.bootstrap prints is the reason and the log's place.
            raise RequirementsError(str(error).splitlines()[-1]) from error

    def _bootstrap(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return process.run(**self._bootstrap_call(*arguments), stdin=stdin)

    def _bootstrap_call(self, *arguments: str) -> dict[str, Any]:
        """Return how ``app.runtime.bootstrap`` is called: what denzel.process's functions take."""
        environment = service_environment(self.project, self._layout, self._layout.sockets)
        return {
            "argv": [sys.executable, "-P", START, "app.runtime.bootstrap", *arguments],
            "cwd": self.project.root,
            "env": environment,
        }

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Make the private directories for what happens inside."""
        with self._as_engine_error():
            self._layout.create()
            yield

    @contextmanager
    def _as_engine_error(self) -> Iterator[None]:
        """Tell what the system refuses (disk full, no permission) as an error of denzel's."""
        try:
            yield
        except FileExistsError as error:
            raise EngineError(
                f"{error.filename} is no directory, and denzel needs one there: move it away"
            ) from error
        except OSError as error:
            place = error.filename or self._layout.private
            raise EngineError(
                f"{place}: {error.strerror or error}; denzel must be able to write there"
            ) from error
