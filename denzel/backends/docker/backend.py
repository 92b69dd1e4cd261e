"""Run a project's services as containers: Compose changes things, the Docker SDK is asked."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import APIError

from denzel import process
from denzel.backends.base import CHECK_MODULE, Backend, LogLine
from denzel.backends.docker.commands import SERVING_USER, STATES, ComposeCommands
from denzel.backends.docker.compose import IMAGE_FILE, Compose
from denzel.backends.docker.engine import (
    DIRECTORY_LABEL,
    connect,
    engine_errors,
    find_image,
    has_nvidia_runtime,
)
from denzel.backends.docker.environment import write_secret_files
from denzel.backends.docker.errors import NO_GPU, is_network_gone
from denzel.backends.docker.images import PROJECT_LABEL, Images
from denzel.backends.docker.progress import containers_shown
from denzel.backends.docker.release import ReleaseImages
from denzel.backends.docker.release_commands import RELEASE_LABEL
from denzel.backends.docker.replicas import memory_used, running_replicas, service_of_container
from denzel.backends.docker.status import (
    Container,
    project_status,
    read_container,
    read_records,
    read_worker_record,
)
from denzel.certificates import speaks_tls
from denzel.errors import (
    CommandError,
    DenzelError,
    EngineError,
    ProjectError,
    RequirementsError,
    ServiceError,
)
from denzel.polling import polls
from denzel.ports import check_https_ports
from denzel.services import BALANCER, HTTPS, METRICS_SERVICES, REDIS, Status, replica_name
from denzel.templates.project.app.runtime.bootstrap.version import (
    VERSIONS,
    served_version,
    version_directory,
)

if TYPE_CHECKING:
    import docker

ONE_OFF_LABEL = "com.docker.compose.oneoff"
OS_REQUIREMENTS = "requirements.sh"
USER_CODE_SERVICES = ("denzel", "api")
REMOVAL_SECONDS = 30.0
STATUS_THREADS = 8
LOG_LINE = re.compile(
    r"(?:\x1b\[2K)*(?P<service>\S+?)(?:-(?P<number>\d+))?\s*\| ?(?P<time>\S+Z) ?(?P<text>.*)"
)


class ComposeBackend(Backend):
    """Services as containers of one Compose project."""

    name = "docker"

    def preflight(self) -> None:
        """Check engine, Compose, GPU runtime, and that no other directory uses the name."""
        client = self._client
        self._commands()
        self._containers()
        self._check_https_ports()
        if not self.project.settings.gpu:
            return
        with engine_errors():
            info = client.info()
        if not has_nvidia_runtime(info):
            raise EngineError(NO_GPU)

    def launched(self) -> bool:
        """Tell whether the services were created and not shut down since, running or not."""
        return bool(self._containers())

    def running(self) -> bool:
        """Tell whether any service is running now."""
        return any(read_container(found.attrs).running for found in self._containers())

    def fetch(self, image: str) -> None:
        """Have an image for release on this machine, as its registry has it now."""
        if not (self.project.root / IMAGE_FILE).exists():
            raise ProjectError(
                f"{IMAGE_FILE} is missing, by which images are run; `denzel upgrade` brings it"
            )
        ReleaseImages(self.project, self.report).fetch(image, newest=True)

    def up(self) -> None:
        """Create and start every service; on failure leave nothing running."""
        self._images.provide(self._containers())
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
        self._images.provide(self._containers())
        self.check_redis()
        self._remove_unwanted()
        self._start_containers()

    def stop(self) -> None:
        """Stop every service; queue, results and response mode stay."""
        try:
            self._show(self._commands().stop())
        except DenzelError:
            # Compose gives up when only some of a project's containers exist.
            if not self._stop_containers():
                raise

    def restart(self) -> None:
        """Stop and start every service, reading ``.env`` and the user's code afresh."""
        self.project.forget()
        self._check_https_ports()
        self._images.provide(self._containers())
        self.check_redis()
        self.stop()
        self._remove_unwanted()
        self._start_containers()

    def scale(self, services: Sequence[str]) -> None:
        """Run as many replicas of ``services`` as ``.env`` says."""
        self.project.forget()
        self._images.provide(self._containers())
        had_balancer = any(service_of_container(found) == BALANCER for found in self._containers())
        self._remove_unwanted()
        has_balancer = self.project.settings.api_replicas > 1
        for service in services:
            # The port of the API goes over from it to the balancer, or back.
            recreate = service == "api" and had_balancer != has_balancer
            together = [service, BALANCER] if service == "api" and has_balancer else [service]
            self._show(self._commands().scale(together, recreate=recreate))

    def replicas(self, service: str) -> list[str]:
        """Return the names of a service's running replicas."""
        return list(self._running(service))

    def memory(self, service: str) -> tuple[int, int]:
        """Return the bytes that the largest running replica uses, and those the machine has."""
        with engine_errors():
            used = [memory_used(each.stats(stream=False, one_shot=True))
                    for each in self._running(service).values()]  # fmt: skip
            return max(used), int(self._client.info()["MemTotal"])

    def down(self, *, purge: bool) -> None:
        """Remove containers and network; with ``purge`` volumes and images, too."""
        self._containers()
        argv = self._commands().down(purge=purge)
        try:
            self._show(argv)
        except DenzelError:
            # As for stop.
            if not self._remove_containers():
                raise
            self._show(argv)
        if purge:
            self._images.remove_built()

    def status(self) -> Status:
        """Return the state of each service and worker at this moment."""
        settings = self.project.settings
        # All at once: a service that hangs keeps none but its own container waiting.
        with ThreadPoolExecutor(STATUS_THREADS) as pool:
            containers = [
                self._unless_without_certificate(container)
                for container in pool.map(self._with_records, self._containers())
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
        replica, container = next(iter(self._running(service).items()))
        user = "root" if root else SERVING_USER if _runs_project(container) else None
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
        if runs_files and any(service_of_container(found) == "denzel" and found.status == "running"
               for found in self._containers()):  # fmt: skip
            argv = compose.commands.module_of_version(version, "denzel", CHECK_MODULE, *options)
            return compose.output(argv, stdin=stdin)
        built = Images(self._client, compose, self.report).provide((), redis=False)
        self.report("Installing the requirements and running the pipeline in a container")
        name = f"{self._name}-check-{os.getpid()}"
        argv = compose.commands.prepared_module(name, "denzel", CHECK_MODULE, *options)
        try:
            output = compose.output(argv, stdin=stdin)
        except KeyboardInterrupt:
            self._remove_container(name)
            raise
        if built:
            self.report(
                "The image and the installed packages are kept for the next check or launch; "
                "`denzel shutdown --purge` removes them"
            )
        # What the preparation printed comes before the report, which is one line.
        return output.rstrip("\n").rpartition("\n")[2]

    def install(self, version: int, *, pip: bool, os: bool) -> None:
        """Install the newest packages (``pip``) and run requirements.sh (``os``) for a version.

        Packages go into the volume all services share, so one service installs them.  The script is
        tried in a container of its own first: half of it would leave a service half changed.
        """
        commands = self._commands()
        replicas = [each for name in USER_CODE_SERVICES for each in self.replicas(name)]
        if os:
            self._try_requirements(version)
        for number, replica in enumerate(replicas if os else replicas[:1]):
            argv = commands.install(replica, version, pip=pip and number == 0, os=os)
            self._relay_installation(replica, argv)

    def prepare(self, version: int) -> None:
        """Install what a version requires beside the services, before anything is stopped.

        Where requirements.sh changed, or the image, it is tried in a container of its own first.
        """
        commands = self._commands()
        self._images.provide(self._containers(), redis=False)
        image = find_image(self._client, self.project.settings.image)
        replicas: dict[str, Any] = {}
        for service in USER_CODE_SERVICES:
            replicas |= self._running(service)
        running = {container.attrs["Image"] for container in replicas.values()}
        same_image = image is not None and running == {image.id}
        if not same_image or self._changes_script(version):
            self._try_requirements(version)
        for replica in replicas if same_image else ():
            self._relay_installation(replica, commands.install_changed(replica, version))

    def switch(self, replica: str, version: int, *, stop_first: bool) -> None:
        """Have a service's replica go on with another version."""
        argv = self._commands().switch(replica, version, stop_first=stop_first)
        try:
            process.run(argv, **self._compose.place())
        except CommandError as error:
            raise ServiceError((error.said.strip().splitlines() or [str(error)])[-1]) from error

    def _ask_redis(self) -> str:
        """Run the project's own check of Redis in a container; return what it prints."""
        name = f"{self._name}-redis-{os.getpid()}"
        self._hand_out_secrets()
        try:
            return self._compose.output(self._commands().check_redis(name, "api"))
        except KeyboardInterrupt:
            self._remove_container(name)
            raise

    def _try_requirements(self, version: int) -> None:
        """Install what a version requires in a container that is thrown away."""
        name = f"{self._name}-try-{os.getpid()}"
        argv = self._commands().try_requirements(name, "denzel", version)
        try:
            self._relay_installation("denzel", argv)
        except KeyboardInterrupt:
            self._remove_container(name)
            raise

    def _changes_script(self, version: int) -> bool:
        """Tell whether a version's requirements.sh is another one than that which serves."""
        root, versions = self.project.root, self.project.root / VERSIONS
        served = version_directory(root, served_version(root))
        scripts = [served / OS_REQUIREMENTS, versions / str(version) / OS_REQUIREMENTS]
        return len({path.read_bytes() if path.exists() else b"" for path in scripts}) > 1

    def _relay_installation(self, service: str, argv: Sequence[str]) -> None:
        last: list[str] = [""]
        try:
            process.relay(argv, self._reporter(last), **self._compose.place())
        except CommandError as error:
            raise RequirementsError(f"{service}: {last[0]}") from error

    @cached_property
    def _client(self) -> docker.DockerClient:
        return connect()

    @property
    def _compose(self) -> Compose:
        return self._compose_of(self.project.launch.image)

    def _compose_of(self, image: str | None) -> Compose:
        """Return Compose for services that run from an image, or from the project's files."""
        return self._composes.setdefault(image, Compose(self.project, self._name, image))

    @cached_property
    def _composes(self) -> dict[str | None, Compose]:
        return {}

    @property
    def _images(self) -> Images:
        return Images(self._client, self._compose, self.report)

    def _commands(self) -> ComposeCommands:
        return self._compose.commands

    def _show(self, argv: Sequence[str]) -> None:
        """Run a command of Compose's that changes containers; report what becomes of each."""
        width = max((len(found.name) for found in self._containers()), default=0)
        with containers_shown(self.report, self._name, width) as receive:
            self._compose.relay(argv, receive)

    @property
    def _name(self) -> str:
        """The deployment's name."""
        return self._recorded_name if self.project.flaw else self.project.name

    @cached_property
    def _recorded_name(self) -> str:
        """The name its containers carry, for when ``.env`` cannot be trusted with it."""
        with engine_errors():
            found = self._client.containers.list(
                all=True, filters={"label": DIRECTORY_LABEL}, ignore_removed=True
            )
        for container in found:
            if os.path.realpath(container.labels[DIRECTORY_LABEL]) == self._here:
                return str(container.labels[PROJECT_LABEL])
        return self.project.name

    @property
    def _here(self) -> str:
        return os.path.realpath(self.project.root)

    def _reporter(self, last: list[str]) -> Any:
        def receive(line: str) -> None:
            last[0] = line or last[0]
            self.report(line)

        return receive

    def _start_containers(self) -> None:
        """Create what is missing and start everything, be it that the network was removed."""
        try:
            self._show(self._up())
        except DenzelError as error:
            if not is_network_gone(error):
                raise
            self._remove_containers()
            self._show(self._up())

    def _up(self) -> list[str]:
        """Return what creates and starts everything, once the services can find their secrets."""
        self._hand_out_secrets()
        return self._commands().up()

    def _hand_out_secrets(self) -> None:
        """Put the secrets where containers of an image look for them; others read the project's."""
        if self.project.launch.image is not None:
            write_secret_files(self.project)

    def _stop_containers(self) -> int:
        """Stop this project's containers, Redis's last; return how many there were."""
        found = self._containers()
        with ThreadPoolExecutor(STATUS_THREADS) as pool, engine_errors():
            for last in (False, True):
                batch = [each for each in found if (service_of_container(each) == REDIS) is last]
                for container, _ in zip(batch, pool.map(_stop, batch), strict=True):
                    self.report(f"Stopping {container.name} ... done")
        return len(found)

    def _remove_remains(self) -> None:
        """Undo an ``up`` that was cut short.

        The engine may finish creating a container after the request was given up, so it is
        asked until it has shown none twice.
        """
        clear = 0
        for _ in polls(1.0, timeout=REMOVAL_SECONDS):
            clear = 0 if self._remove_containers() else clear + 1
            if clear == 2:
                break
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
        runs = any(
            service_of_container(found) == HTTPS and found.status == "running"
            for found in self._containers()
        )
        if settings.https_domain and not runs:
            wanted = {"HTTPS_PORT": settings.https_port, "HTTP_PORT": settings.http_port}
            check_https_ports(wanted, as_root=True)

    def _remove_unwanted(self) -> None:
        """Remove the containers of services that ``.env`` asks for no longer."""
        settings = self.project.settings
        unwanted = {HTTPS} if not settings.https_domain else set()
        unwanted |= set(METRICS_SERVICES) if not settings.with_metrics else set()
        unwanted |= {BALANCER} if settings.api_replicas == 1 else set()
        unwanted |= {REDIS} if settings.redis_url else set()
        for found in self._containers():
            if service_of_container(found) in unwanted:
                self._remove_container(found.name)

    def _remove_container(self, name: str) -> None:
        with engine_errors(), suppress(APIError):  # it was not made, or something else removes it
            self._client.containers.get(name).remove(force=True)

    def _remove_containers(self) -> int:
        """Remove this project's containers whatever they do; return how many there were."""
        found = self._containers()
        with engine_errors():
            for container in found:
                with suppress(APIError):  # something else is removing it
                    container.remove(force=True)
                self.report(f"Removing {container.name} ... done")
        return len(found)

    def _containers(self) -> list[Any]:
        """Return this project's containers.

        Raises ProjectError when containers of its name were made from another directory.
        """
        with engine_errors():
            found = self._client.containers.list(
                all=True,
                # Those of a check come and go by themselves.
                filters={"label": [f"{PROJECT_LABEL}={self._name}", f"{ONE_OFF_LABEL}=False"]},
                ignore_removed=True,
            )
        here = self._here
        for container in found:
            there = container.labels.get(DIRECTORY_LABEL, here)
            # A directory that is gone was moved here, or left its containers behind.
            if os.path.realpath(there) != here and Path(there).exists():
                raise ProjectError(
                    f"The project in {there} runs under the name {self.project.name} already; "
                    "set another PROJECT_NAME (and IMAGE) in .env here, or run "
                    "`denzel shutdown` there"
                )
        return list(found)

    def _running(self, service: str) -> dict[str, Any]:
        return running_replicas(self._containers(), service)

    def _with_records(self, found: Any) -> Container:
        container = read_container(found.attrs)
        if not container.running or not _runs_project(found):
            return container
        try:
            with engine_errors():
                result = found.exec_run(STATES, stderr=False, user=SERVING_USER)
        except APIError:
            return container  # it ended in this very moment; the next status will say so
        listing = result.output.decode(errors="replace")
        return replace(
            container, records=read_records(listing), worker_record=read_worker_record(listing)
        )


def _stop(container: Any) -> None:
    with suppress(APIError):  # something else removes it
        container.stop()


def _runs_project(found: Any) -> bool:
    """Tell whether a container serves the project's code, not an image's own program."""
    return RELEASE_LABEL in found.labels or any(
        mount.get("Destination") == "/opt/denzel/venv" for mount in found.attrs["Mounts"]
    )
