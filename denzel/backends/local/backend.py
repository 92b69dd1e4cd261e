"""Run a project's services as processes of this machine, supervised by ``supervisor``."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from denzel import process
from denzel.backends.base import CHECK_MODULE, START, Backend, LogLine
from denzel.backends.local.deployment_record import DeploymentRecord
from denzel.backends.local.environment import (
    inner_environment,
    service_environment,
    shell_startup,
)
from denzel.backends.local.health import examine_services
from denzel.backends.local.https import HTTPS, accepts_connections, caddy_environment, check_https
from denzel.backends.local.layout import Layout
from denzel.backends.local.lifecycle import Lifecycle
from denzel.backends.local.preflight import (
    check_disk,
    check_platform,
    check_programs,
    holds_commands,
)
from denzel.backends.local.redis_server import redis_answers
from denzel.backends.local.status import Record, read_record, service_status, worker_status
from denzel.backends.local.supervision import (
    UNSUPERVISED,
    Crashes,
    NotSupervised,
    Process,
    read_crashes,
)
from denzel.backends.log_files import follow_logs, read_logs
from denzel.errors import (
    CommandError,
    EngineError,
    RequirementsError,
    ServiceError,
    UsageError,
)
from denzel.services import SERVICES, ServiceStatus, State, Status

STILL_RUNNING = "Nothing was restarted: the services go on as they are"
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
        check_programs()
        check_disk(self.project.root, installs=not self._layout.python.exists())
        check_https(self.project.settings)

    def launched(self) -> bool:
        """Tell whether the services were created and not shut down since, running or not."""
        elsewhere = self.project.backend not in (self.name, None)
        if not self._layout.private.exists():
            return bool(self._lifecycle.processes())
        return not elsewhere and DeploymentRecord.read(self._layout) is not None

    def running(self) -> bool:
        """Tell whether any service is running now, be it without a supervisor."""
        supervised = any(known.alive for known in self._processes().values())
        return supervised or bool(self._lifecycle.processes())

    def up(self) -> None:
        """Create and start every service; on failure leave nothing running."""
        if holds_commands(self.project.root / "requirements.sh"):
            self.report(
                "requirements.sh is not run: it would change this machine itself. Install by "
                "hand what it installs, or launch with --docker"
            )
        with self._changing():
            try:
                self._lifecycle.start()
            except BaseException:
                self._layout.deployment.unlink(missing_ok=True)
                raise

    def start(self) -> None:
        """Start the stopped services, also those given up after many crashes."""
        with self._changing():
            try:
                self._lifecycle.supervisor.start_stopped()
            except NotSupervised:
                self._lifecycle.start()

    def stop(self) -> None:
        """Stop every service; queue, results and response mode stay on disk."""
        if not self._layout.private.exists():
            self._lifecycle.end_abandoned()
            return
        with self._changing():
            self._lifecycle.stop()

    def restart(self) -> None:
        """Stop and start every service, reading ``.env`` and the user's code afresh."""
        self.project.forget()
        # What is wrong in .env is told while the services still run.
        service_environment(self.project, self._layout, self._layout.run)
        if not self._serves_https():
            check_https(self.project.settings)
        caddy_environment(self.project.settings)
        # So is a package that cannot be had.  Services that do not work find out at their start.
        if self._all_up():
            try:
                self._prepare("check")
            except RequirementsError as error:
                raise RequirementsError(f"{error}. {STILL_RUNNING}") from error
        with self._changing():
            self._lifecycle.stop()
            self._lifecycle.start()

    def down(self, *, purge: bool) -> None:
        """Stop everything; with ``purge`` remove the packages, the queue and the results."""
        if not self._layout.private.exists():
            self._lifecycle.end_abandoned()
            return
        with self._changing():
            self._lifecycle.stop()
            self._layout.deployment.unlink(missing_ok=True)
            if purge:
                self.report("Removing installed packages, queue and results")
                shutil.rmtree(self._layout.private)

    def status(self) -> Status:
        """Return the state of each service and worker at this moment."""
        layout, settings = self._layout, self.project.settings
        ports = {
            "api": settings.api_port, "monitor": settings.monitor_port, HTTPS: settings.https_port
        }  # fmt: skip
        processes = self._processes()
        crashes = read_crashes(layout.supervisor_log) if processes else {}
        examined = examine_services(layout) if processes else {}
        names = (*SERVICES, *(name for name in processes if name not in SERVICES))
        records = {name: self._record(name, examined) for name in (*names, "worker")}
        services = {
            name: service_status(
                name, processes.get(name), records[name], crashes.get(name, Crashes()),
                ports.get(name),
            )
            for name in names
        }  # fmt: skip
        worker = worker_status(
            settings.worker_name, services["denzel"], processes.get("denzel"), records["worker"]
        )
        return Status(tuple(services.values()), worker)

    def logs(self, services: Sequence[str], *, follow: bool, tail: int | None) -> Iterator[LogLine]:
        """Yield what ``services`` wrote, service by service; ``tail`` counts for each."""
        files = {name: self.project.logs / f"{name}.log" for name in services}
        return follow_logs(files, tail) if follow else read_logs(files, tail)

    def shell(self, service: str, *, root: bool) -> int:
        """Open bash in the project's directory, with the services' environment and packages."""
        if root:
            raise UsageError("Local processes run as you do; --root is for services in Docker")
        self._require(service)
        startup = shell_startup(self._layout)
        # Without a terminal bash reads commands from its standard input, and no start-up file.
        interactive = ["--rcfile", str(startup), "-i"] if sys.stdin.isatty() else []
        terminal = {name: os.environ[name] for name in ("TERM", "COLORTERM") if name in os.environ}
        return process.attach(
            ["bash", *interactive],
            cwd=self.project.root,
            env={**terminal, **inner_environment(self.project, self._layout)},
        )

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

    def check(self, sample: bytes | None, *options: str) -> str:
        """Run the pipeline without services, its requirements installed first."""
        check_platform()
        check_programs()
        check_disk(self.project.root, installs=not self._layout.python.exists())
        with self.project.changing():  # a purge would remove what is being installed
            with self._as_engine_error():
                self._layout.create()
            self._prepare("check")
        return self._run_module(CHECK_MODULE, *options, stdin=sample or b"")

    def install(self, *, pip: bool, os: bool) -> None:
        """Install requirements.txt; refuse to run requirements.sh on the user's own machine."""
        # With both asked for, a script without commands is no reason to refuse.
        if os and (not pip or holds_commands(self.project.root / "requirements.sh")):
            raise RequirementsError(
                "requirements.sh is never run with local processes: it would change this machine "
                "itself. Install by hand what it installs (and use `denzel updatepipreqs`), or "
                "deploy with Docker: `denzel shutdown`, then `denzel launch --docker`"
            )
        if pip:
            self._prepare("pip")

    def _serves_https(self) -> bool:
        """Tell whether Caddy runs, and so has its ports already."""
        try:
            return HTTPS in self._processes()
        except ServiceError:
            return True  # their supervisor hangs; the restart will show

    def _all_up(self) -> bool:
        """Tell whether every service works; none is said to while their supervisor hangs."""
        try:
            return all(line.state is State.UP for line in self.status().services)
        except ServiceError:
            return False

    def _processes(self) -> dict[str, Process]:
        """Return supervisord's knowledge of each service; without one, which services run."""
        try:
            return self._lifecycle.supervisor.processes()
        except NotSupervised:
            names = self._lifecycle.unsupervised()
            return {name: Process(name, UNSUPERVISED, started=0) for name in names}

    def _record(self, name: str, examined: Mapping[str, tuple[State, str]]) -> Record | None:
        """Return how a service is: what it recorded, unless it was found not to work.

        For Redis, its answer to a question; for Caddy, whether it listens.
        """
        if name == HTTPS:
            listens = accepts_connections(self.project.settings.https_port)
            return Record.now(State.UP) if listens else None
        if name != "redis":
            record = read_record(self._layout.run / f"{name}.json")
            if record and record.state is State.UP and name in examined:
                record = replace(record, state=examined[name][0], detail=examined[name][1])
            return record
        answers = redis_answers(self._layout.redis_socket, self.project.settings.redis_password)
        return Record.now(State.UP) if answers else None

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

    def _run_module(self, module: str, *arguments: str, stdin: bytes) -> str:
        output = process.run(
            [str(self._layout.python), "-P", START, module, *arguments],
            cwd=self.project.root,
            env=inner_environment(self.project, self._layout),
            stdin=stdin,
        )
        return output.decode(errors="replace")

    def _prepare(self, what: str) -> None:
        """Run ``app.runtime.bootstrap`` with ``--install``; its output goes to ``report``."""
        argv = [sys.executable, "-P", START, "app.runtime.bootstrap", "--install", what, "update"]
        environment = service_environment(self.project, self._layout, self._layout.sockets)
        try:
            process.relay(argv, self.report, cwd=self.project.root, env=environment)
        except CommandError as error:
            # The last line that app.runtime.bootstrap prints is the reason and the log's place.
            raise RequirementsError(str(error).splitlines()[-1]) from error

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
        except OSError as error:
            place = error.filename or self._layout.private
            raise EngineError(
                f"{place}: {error.strerror or error}; denzel must be able to write there"
            ) from error
