"""Start and stop all services of a local deployment: supervisord, what it runs, what is left."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from denzel import process
from denzel.backends.base import NAME_WIDTH, Passing, Report
from denzel.backends.local.append_only_file import AppendOnlyFile
from denzel.backends.local.deployment_record import DeploymentRecord
from denzel.backends.local.environment import service_environment
from denzel.backends.local.health import write_probe_settings
from denzel.backends.local.https import caddy_environment, programs
from denzel.backends.local.layout import REDIS_SOCKET, SUPERVISOR_SOCKET, Layout, known_marks
from denzel.backends.local.process_table import (
    MARK_VARIABLE,
    end_processes,
    find_abandoned,
    find_processes,
    find_services,
    main_processes,
)
from denzel.backends.local.redis_server import find_redis_server, redis_answers, redis_config
from denzel.backends.local.supervision import (
    PROGRAMS,
    REDIS_CONFIG_VARIABLE,
    REDIS_VARIABLE,
    SOCKET_VARIABLE,
    NotSupervised,
    Program,
    Supervisor,
    read_crashes,
    supervisor_config,
)
from denzel.errors import CommandError, EngineError, ServiceError
from denzel.polling import polls
from denzel.project import Project
from denzel.services import service_of

POLL_SECONDS = 0.1
ANSWER_SECONDS = 15.0
REDIS_SECONDS = 60.0
"""How long is waited for Redis; with a large append-only file it comes up later by itself."""
STOP_MARGIN_SECONDS = 5.0
PATIENCE_SECONDS = 2.0
LEFTOVER_SECONDS = 10.0
OPEN_FILES = 65_536
CONTAINER_LIMITS = ("API_MEMORY", "API_CPUS", "WORKER_MEMORY", "WORKER_CPUS")


@dataclass(frozen=True)
class Lifecycle:
    """Starts and stops the services of one project."""

    project: Project
    layout: Layout
    report: Report
    programs: Sequence[Program] = PROGRAMS

    @property
    def supervisor(self) -> Supervisor:
        """The supervisord of this deployment, whether or not it runs."""
        return Supervisor(self.layout.supervisor_socket)

    def _is_whole(self) -> bool:
        """Tell whether all services are run, as in a deployment."""
        return self.programs is PROGRAMS

    def _programs_to_start(self) -> Sequence[Program]:
        return programs(self.project.settings) if self._is_whole() else self.programs

    def start(self) -> None:
        """Start supervisord and all services; when that fails, leave nothing running.

        Returns when Redis answers; the other services get ready by themselves.
        """
        self._end_leftovers()
        self._forget_moved_venv()
        self._tell_of_limits()
        try:
            self._repair_append_only_file()
            self._spawn_supervisor()
            DeploymentRecord.of(self.layout, self.supervisor.pid()).write(self.layout)
            self._await_redis()
        except BaseException:
            self._end_leftovers()
            raise
        for program in self._programs_to_start():
            self._report_done("Starting", program.name)

    def stop(self) -> None:
        """Stop all services in good order, then end whatever is left of them."""
        try:
            self._stop_services()
        except NotSupervised:
            self._stop_unsupervised()
        except ServiceError as error:
            self.report(f"{error}. All processes are ended now")
        self._end_leftovers()

    def scale(self, services: Sequence[str]) -> None:
        """Start and stop replicas of services until there are as many as ``.env`` says.

        An API that begins or ceases to share its port is stopped and started.
        """
        self._write_supervisor_config()
        supervisor = self.supervisor
        added, changed, removed = (
            [name for name in names if service_of(name) in services]
            for names in supervisor.read_config()
        )
        ended = {*changed, *removed} & set(supervisor.processes())
        for name in ended:
            supervisor.stop(name)
        if ended:
            self._await_stopped(ended)
        for name in ended:
            supervisor.remove(name)
            for file in self.layout.run_of(name).glob(f"{service_of(name)}.json"):
                file.unlink(missing_ok=True)
        for name in (*changed, *added):
            supervisor.add(name)
            self._report_done("Starting", name)

    def reopen_logs(self, files: Mapping[str, Path]) -> list[str]:
        """Have running services' log files made again that were removed; return whose they were.

        supervisord goes on writing into a file that has no name any more.
        """
        try:
            running = [name for name, known in self.supervisor.processes().items() if known.alive]
            removed = [name for name in running if name in files and not files[name].exists()]
            if removed:
                self.layout.logs.mkdir(exist_ok=True)
                os.kill(self.supervisor.pid(), signal.SIGUSR2)
        except (NotSupervised, ServiceError, OSError):
            return []
        return removed

    def abandoned(self) -> list[int]:
        """Return the processes of deployments whose directory was deleted with its files."""
        return find_abandoned(self.layout.root, known_marks(self.layout.root))

    def end_abandoned(self) -> None:
        """End the services of a deployment of which nothing else is left."""
        end_processes(self.abandoned, LEFTOVER_SECONDS)

    def processes(self) -> list[int]:
        """Return every process of this deployment, whether or not its supervisord lives."""
        if not self.layout.private.exists():
            return self.abandoned()
        record = DeploymentRecord.read(self.layout)
        session = record.session(self.layout) if record else None
        found = find_processes(self.layout.mark, session, self.layout.root)
        return sorted({*found, *self.abandoned()})

    def unsupervised(self) -> set[str]:
        """Return the services that run although no supervisord answers."""
        if not self.layout.private.exists():
            return set()
        return set(find_services(self.layout.mark).values()) - {""}

    def _spawn_supervisor(self) -> None:
        layout = self.layout
        sockets = layout.choose_socket_directory()
        environment = {
            **service_environment(self.project, layout, sockets),
            **(caddy_environment(self.project.settings) if self._is_whole() else {}),
            MARK_VARIABLE: layout.mark,
            "SPT_NOENV": "1",  # setproctitle, too, keeps the environment with the mark in it
            SOCKET_VARIABLE: str(sockets / SUPERVISOR_SOCKET),
        }
        settings = self.project.settings
        if not settings.redis_url:
            environment[REDIS_VARIABLE] = str(find_redis_server())
            environment[REDIS_CONFIG_VARIABLE] = layout.relative(layout.redis_config)
            self._configure_redis(sockets)
        write_probe_settings(layout, environment)
        self._write_supervisor_config()
        config = layout.relative(layout.supervisor_config)
        # -EP: modules of the user's, there or on PYTHONPATH, must not stand in for others.
        argv = [sys.executable, "-EP", "-m", "supervisor.supervisord", "-c", config]
        _allow_many_files()
        try:
            process.run(argv, cwd=layout.root, env=environment)
        except CommandError as error:
            raise EngineError(f"The services' supervisor could not be started: {error}") from error
        self._poll_until(self._supervisor_answers, ANSWER_SECONDS)

    def _write_supervisor_config(self) -> None:
        layout = self.layout
        places = {"private": layout.relative(layout.private), "logs": layout.relative(layout.logs)}
        text = supervisor_config(self._programs_to_start(), **places)
        layout.supervisor_config.write_text(text, encoding="utf-8")

    def _configure_redis(self, sockets: Path) -> None:
        layout, settings = self.layout, self.project.settings
        layout.redis_config.touch(mode=0o600)
        layout.redis_config.write_text(
            redis_config(
                socket_path=sockets / REDIS_SOCKET,
                directory=layout.relative(layout.redis_data),
                max_memory=settings.redis_max_memory,
                fsync=settings.redis_fsync,
                password=settings.redis_password,
            ),
            encoding="utf-8",
        )

    def _append_only_file(self) -> AppendOnlyFile | None:
        layout = self.layout
        if self.project.settings.redis_url:
            return None
        return AppendOnlyFile.of(layout.redis_data, find_redis_server(), layout.private)

    def _repair_append_only_file(self) -> None:
        file = self._append_only_file()
        if file and (cut := file.repair()):
            self.report(
                f"{file.path.relative_to(self.layout.root)} ended as after a power failure: {cut} "
                "were cut off. Redis had confirmed none of it"
            )

    def _supervisor_answers(self) -> bool:
        try:
            return self.supervisor.pid() > 0
        except NotSupervised:
            return False

    def _await_redis(self) -> None:
        if self.project.settings.redis_url:
            return  # it was asked before anything was started
        for _ in polls(POLL_SECONDS, timeout=REDIS_SECONDS):
            if redis_answers(self.layout.redis_socket, self.project.settings.redis_password):
                return
            if "redis" in read_crashes(self.layout.supervisor_log):
                log = self.layout.logs / "redis.log"
                end = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
                lines = ["Redis does not start; the end of its log says:", *end]
                if (file := self._append_only_file()) and (damage := file.damage(self.layout.root)):
                    lines.append(damage)
                raise ServiceError("\n".join(lines))

    def _stop_services(self) -> None:
        """Stop the services side by side, Redis after them, supervisord at last."""
        # What supervisord runs is asked for: an older denzel may have started it.
        known = set(self.supervisor.processes())
        for names in (known - {"redis"}, known & {"redis"}):
            for name in names:
                self.supervisor.stop(name)
            self._await_stopped(names)
        self.supervisor.shut_down()

    def _stop_unsupervised(self) -> None:
        """Tell services whose supervisord was killed to end, Redis after the others."""
        if not self.unsupervised():
            return
        longest = max(program.stop_seconds for program in self.programs)
        for names in (self.unsupervised() - {"redis"}, {"redis"}):
            mains = main_processes(self.layout.mark)
            waiting = {name: set(mains[name]) for name in names & set(mains)}
            for pid in (pid for pids in waiting.values() for pid in pids):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            for _ in polls(POLL_SECONDS, timeout=longest):
                alive = set(find_services(self.layout.mark))
                for name in sorted(name for name, pids in waiting.items() if not pids & alive):
                    self._report_done("Stopping", name)
                    del waiting[name]
                if not waiting:
                    break

    def _await_stopped(self, names: set[str]) -> None:
        longest = max(program.stop_seconds for program in self.programs)
        waiting = set(names)
        began = time.monotonic()
        for _ in polls(POLL_SECONDS, timeout=longest + STOP_MARGIN_SECONDS):
            if (seconds := time.monotonic() - began) > PATIENCE_SECONDS:
                told = f"Waiting for {', '.join(sorted(waiting))} to finish what they have begun"
                self.report(Passing(f"{told} ({seconds:.0f} s)"))
            known = self.supervisor.processes()
            for name in sorted(waiting):
                if not known[name].alive:
                    self._report_done("Stopping", name)
                    waiting.discard(name)
            if not waiting:
                return

    def _end_leftovers(self) -> None:
        """End every process that carries the deployment's mark, and forget what they wrote."""
        end_processes(self.processes, LEFTOVER_SECONDS)
        self.layout.forget_sockets()
        self.layout.forget_states()

    def _forget_moved_venv(self) -> None:
        """Remove a virtual environment made at another path: its programs name that path."""
        config = self.layout.venv / "pyvenv.cfg"
        try:
            lines = config.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        made = [line for line in lines if line.startswith("command = ")]
        if made and not made[0].endswith(f" {self.layout.venv}"):
            self.report("The project was moved or copied: its packages are installed anew")
            shutil.rmtree(self.layout.venv)

    def _tell_of_limits(self) -> None:
        """Name the settings that limit containers alone."""
        settings = self.project.settings
        limits = [name for name in CONTAINER_LIMITS if getattr(settings, name.lower()) is not None]
        if limits:
            self.report(
                f"{', '.join(limits)} limit containers: local processes use what this machine has. "
                "API_WORKERS and WORKER_CONCURRENCY say how many there are"
            )

    def _poll_until(self, predicate: Callable[[], bool], seconds: float) -> None:
        for _ in polls(POLL_SECONDS, timeout=seconds):
            if predicate():
                return
        raise EngineError(
            f"The services' supervisor did not come up within {seconds:g} s; "
            f"see {self.layout.supervisor_log}"
        )

    def _report_done(self, verb: str, name: str) -> None:
        self.report(f"{verb} {name:<{NAME_WIDTH}} ... done")


def _allow_many_files() -> None:
    """Let what this process starts open many files: each waiting request is one in the API."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS refuses some values below its hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
