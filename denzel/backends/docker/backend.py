"""Run a project's services as containers: Compose changes things, the Docker SDK is asked."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

from denzel import process
from denzel.backends.base import CHECK_MODULE, Backend, LogLine
from denzel.backends.docker.commands import SERVING_USER, ComposeCommands
from denzel.backends.docker.compose import IMAGE_FILE, Compose
from denzel.backends.docker.containers import Containers, runs_project
from denzel.backends.docker.engine import engine_errors, has_nvidia_runtime
from denzel.backends.docker.environment import write_secret_files
from denzel.backends.docker.errors import NO_GPU, is_network_gone
from denzel.backends.docker.images import Images
from denzel.backends.docker.installation import Installation
from denzel.backends.docker.progress import containers_shown
from denzel.backends.docker.release import ReleaseImages
from denzel.backends.docker.replicas import memory_used, service_of_container
from denzel.backends.docker.status import Container, project_status, read_container
from denzel.certificates import speaks_tls
from denzel.errors import CommandError, DenzelError, EngineError, ProjectError, ServiceError
from denzel.ports import check_https_ports
from denzel.services import BALANCER, HTTPS, METRICS_SERVICES, REDIS, Status, replica_name

LOG_LINE = re.compile(
    r"(?:\x1b\[2K)*(?P<service>\S+?)(?:-(?P<number>\d+))?\s*\| ?(?P<time>\S+Z) ?(?P<text>.*)"
)


class ComposeBackend(Backend):
    """Services as containers of one Compose project."""

    name = "docker"

    def preflight(self) -> None:
        """Check engine, Compose, GPU runtime, and that no other directory uses the name."""
        client = self._containers.client
        self._commands()
        self._containers.all()
        self._check_https_ports()
        if not self.project.settings.gpu:
            return
        with engine_errors():
            info = client.info()
        if not has_nvidia_runtime(info):
            raise EngineError(NO_GPU)

    def launched(self) -> bool:
        """Tell whether the services were created and not shut down since, running or not."""
        return bool(self._containers.all())

    def running(self) -> bool:
        """Tell whether any service is running now."""
        return any(read_container(found.attrs).running for found in self._containers.all())

    def fetch(self, image: str) -> None:
        """Have an image for release on this machine, as its registry has it now."""
        if not (self.project.root / IMAGE_FILE).exists():
            raise ProjectError(
                f"{IMAGE_FILE} is missing, by which images are run; `denzel upgrade` brings it"
            )
        ReleaseImages(self.project, self.report).fetch(image, newest=True)

    def try_image(self, image: str, *options: str) -> str:
        """Run the pipeline in an image that was fetched; return its report as JSON."""
        return ReleaseImages(self.project, self.report).check(image, (), *options)

    def up(self) -> None:
        """Create and start every service; on failure leave nothing running."""
        self._images.provide(self._containers.all())
        try:
            self.check_redis()
            self._show(self._up())
        except BaseException:
            self.report("Removing what was created so far")
            with suppress(DenzelError):
                self._remove_remains()
            raise

    def start(self) -> None:
        """Start the stopped services, with what ``.env`` says now."""
        self._images.provide(self._containers.all())
        self.check_redis()
        self._remove_unwanted()
        self._start_containers()

    def stop(self) -> None:
        """Stop every service; queue, results and response mode stay."""
        try:
            self._show(self._commands().stop())
        except DenzelError:
            # Compose gives up when only some of a project's containers exist.
            if not self._containers.stop():
                raise

    def restart(self) -> None:
        """Stop and start every service, reading ``.env`` and the user's code afresh."""
        self.project.forget()
        self._check_https_ports()
        self._images.provide(self._containers.all())
        self.check_redis()
        self.stop()
        self._remove_unwanted()
        self._start_containers()

    def scale(self, services: Sequence[str]) -> None:
        """Run as many replicas of ``services`` as ``.env`` says."""
        self.project.forget()
        self._images.provide(self._containers.all())
        had_balancer = any(
            service_of_container(found) == BALANCER for found in self._containers.all()
        )
        has_balancer = self.project.settings.api_replicas > 1
        for service in services:
            # The port of the API goes over from it to the balancer, or back.
            recreate = service == "api" and had_balancer != has_balancer
            if recreate:
                self._remove_unwanted()
            together = [service, BALANCER] if service == "api" and has_balancer else [service]
            self._show(self._commands().scale(together, recreate=recreate), changes=True)

    def replicas(self, service: str) -> list[str]:
        """Return the names of a service's running replicas."""
        return list(self._containers.running(service))

    def memory(self, service: str) -> tuple[int, int]:
        """Return the bytes that the largest running replica uses, and those the machine has."""
        with engine_errors():
            used = [memory_used(each.stats(stream=False, one_shot=True))
                    for each in self._containers.running(service).values()]  # fmt: skip
            return max(used), int(self._containers.client.info()["MemTotal"])

    def down(self, *, purge: bool) -> None:
        """Remove containers and network; with ``purge`` volumes and images, too."""
        self._containers.all()
        argv = self._commands().down(purge=purge)
        try:
            self._show(argv)
        except DenzelError:
            # As for stop.
            if not self._containers.remove():
                raise
            self._show(argv)
        if purge:
            self._images.remove_built()

    def status(self) -> Status:
        """Return the state of each service and worker at this moment."""
        settings = self.project.settings
        containers = [
            self._unless_without_certificate(each) for each in self._containers.described()
        ]
        ports = {"api": settings.api_port, "monitor": settings.monitor_port}
        return project_status(containers, settings.worker_name, ports)

    def logs(self, services: Sequence[str], *, follow: bool, tail: int | None) -> Iterator[LogLine]:
        """Yield what ``services`` wrote, oldest first; with ``follow`` never end by itself."""
        argv = self._commands().logs(services, follow=follow, tail=tail)
        with process.lines(argv, **self._compose.place(argv)) as lines:
            found = (match for line in lines if (match := LOG_LINE.fullmatch(line)))
            # Compose prints one container after the other; while it follows, as lines come.
            ordered = found if follow else sorted(found, key=lambda match: match["time"])
            for match in ordered:
                number = int(match["number"] or 1)
                yield LogLine(replica_name(match["service"], number), match["text"])

    def shell(self, service: str, *, root: bool) -> int:
        """Open an interactive bash in ``service`` on this terminal; return its exit code."""
        replica, container = next(iter(self._containers.running(service).items()))
        user = "root" if root else SERVING_USER if runs_project(container) else None
        argv = self._commands().shell(replica, user=user, terminal=sys.stdin.isatty())
        return process.attach(argv, **self._compose.place())

    def run(self, service: str, module: str, *arguments: str, stdin: bytes = b"") -> str:
        """Run a module of the project in ``service``; return its stdout."""
        argv = self._commands().module(self.replicas(service)[0], module, *arguments)
        return self._compose.output(argv, stdin=stdin)

    def run_bare(self, service: str, module: str, *arguments: str) -> str:
        """Run a module that needs the standard library alone in ``service``, ready or not."""
        argv = self._commands().bare_module(self.replicas(service)[0], module, *arguments)
        return self._compose.output(argv)

    def check(self, sample: bytes | None, *options: str, version: int = 0) -> str:
        """Run the pipeline without services; return its report as JSON.

        In the worker's container when it runs, else in one of its own that is prepared first.
        """
        self.preflight()
        stdin = sample or b""
        compose = self._compose_of(None)
        runs_files = self.project.launch.image is None
        if runs_files and self._containers.has_running("denzel"):
            argv = compose.commands.module_of_version(version, "denzel", CHECK_MODULE, *options)
            return compose.output(argv, stdin=stdin)
        built = Images(self._containers.client, compose, self.report).provide((), redis=False)
        self.report("Installing the requirements and running the pipeline in a container")
        name = f"{self._containers.name}-check-{os.getpid()}"
        argv = compose.commands.prepared_module(name, "denzel", CHECK_MODULE, *options)
        try:
            output = compose.output(argv, stdin=stdin)
        except KeyboardInterrupt:
            self._containers.remove_one(name)
            raise
        if built:
            self.report(
                "The image and the installed packages are kept for the next check or launch; "
                "`denzel shutdown --purge` removes them"
            )
        # What the preparation printed comes before the report, which is one line.
        return output.rstrip("\n").rpartition("\n")[2]

    def install(self, version: int, *, pip: bool, os: bool) -> None:
        """Install the newest packages (``pip``) and run requirements.sh (``os``) for a version."""
        self._installation.install_newest(version, packages=pip, os_commands=os)

    def prepare(self, version: int) -> None:
        """Install what a version requires beside the services, before anything is stopped."""
        self._images.provide(self._containers.all(), redis=False)
        self._installation.install_changed(version)

    def switch(self, replica: str, version: int, *, stop_first: bool) -> None:
        """Have a service's replica go on with another version."""
        argv = self._commands().switch(replica, version, stop_first=stop_first)
        try:
            process.run(argv, **self._compose.place())
        except CommandError as error:
            raise ServiceError(error.last_line) from error

    def _ask_redis(self) -> str:
        """Run the project's own check of Redis in a container; return what it prints."""
        name = f"{self._containers.name}-redis-{os.getpid()}"
        self._hand_out_secrets()
        try:
            return self._compose.output(self._commands().check_redis(name, "api"))
        except KeyboardInterrupt:
            self._containers.remove_one(name)
            raise

    @cached_property
    def _containers(self) -> Containers:
        return Containers(self.project, self.report)

    @property
    def _compose(self) -> Compose:
        return self._compose_of(self.project.launch.image)

    def _compose_of(self, image: str | None) -> Compose:
        """Return Compose for services that run from an image, or from the project's files."""
        return self._composes.setdefault(image, Compose(self.project, self._containers.name, image))

    @cached_property
    def _composes(self) -> dict[str | None, Compose]:
        return {}

    @property
    def _images(self) -> Images:
        return Images(self._containers.client, self._compose, self.report)

    @property
    def _installation(self) -> Installation:
        return Installation(self._compose, self._containers, self.report)

    def _commands(self) -> ComposeCommands:
        return self._compose.commands

    def _show(self, argv: Sequence[str], *, changes: bool = False) -> None:
        """Run a command of Compose's that changes containers; report what becomes of each.

        Those that run already are told as started, unless only ``changes`` are to be told.
        """
        width = max((len(found.name) for found in self._containers.all()), default=0)
        name = self._containers.name
        with containers_shown(self.report, name, width, changes=changes) as receive:
            self._compose.relay(argv, receive)

    def _start_containers(self) -> None:
        """Create what is missing and start everything, be it that the network was removed."""
        try:
            self._show(self._up())
        except DenzelError as error:
            if not is_network_gone(error):
                raise
            self._containers.remove()
            self._show(self._up())

    def _up(self) -> list[str]:
        """Return what creates and starts everything, once the services can find their secrets."""
        self._hand_out_secrets()
        return self._commands().up()

    def _hand_out_secrets(self) -> None:
        """Put the secrets where containers of an image look for them; others read the project's."""
        if self.project.launch.image is not None:
            write_secret_files(self.project)

    def _remove_remains(self) -> None:
        """Undo an ``up`` that was cut short."""
        self._containers.remove_all_that_come()
        argv = self._commands().down(purge=False)
        process.run(argv, **self._compose.place(argv))

    def _unless_without_certificate(self, container: Container) -> Container:
        """Return a container; that of a Caddy without its certificate as one that starts still.

        A distant engine's cannot be asked.
        """
        name, port = self.project.settings.https_domain, self.project.settings.https_port
        if container.service != HTTPS or not container.running or not name:
            return container
        lacks_one = speaks_tls(port, name) is False
        return replace(container, health="starting") if lacks_one else container

    def _check_https_ports(self) -> None:
        """Raise PortTaken unless Caddy can have its ports, or runs and so has them already."""
        settings = self.project.settings
        if settings.https_domain and not self._containers.has_running(HTTPS):
            wanted = {"HTTPS_PORT": settings.https_port, "HTTP_PORT": settings.http_port}
            check_https_ports(wanted, as_root=True)

    def _remove_unwanted(self) -> None:
        """Remove the containers of services that ``.env`` asks for no longer."""
        settings = self.project.settings
        unwanted = {HTTPS} if not settings.https_domain else set()
        unwanted |= set(METRICS_SERVICES) if not settings.with_metrics else set()
        unwanted |= {BALANCER} if settings.api_replicas == 1 else set()
        unwanted |= {REDIS} if settings.redis_url else set()
        self._containers.remove_services(unwanted)
