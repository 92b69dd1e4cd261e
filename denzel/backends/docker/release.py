"""Build an image for release, try it, push it, and fetch one that was pushed."""

from __future__ import annotations

import io
import os
import platform
import re
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, NotFound

from denzel import process
from denzel.backends.base import Passing, Report
from denzel.backends.docker import release_commands as commands
from denzel.backends.docker.build import run_build
from denzel.backends.docker.engine import connect, engine_errors, find_image, has_nvidia_runtime
from denzel.backends.docker.environment import CLIENT, build_environment, client_environment
from denzel.backends.docker.errors import (
    NO_BUILDX,
    NO_PLATFORM,
    explain,
    explain_pull,
    explain_push,
)
from denzel.backends.docker.references import Reference, parse_reference
from denzel.backends.docker.release_commands import OCI, RELEASE_LABEL
from denzel.env_file import write_atomically
from denzel.errors import CommandError, EngineError, ServiceError, UsageError
from denzel.project import Project

if TYPE_CHECKING:
    import docker

LOCK = "requirements.lock"
IN_IMAGE = "/srv/denzel"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?")
NO_SBOM = (
    "Without an SBOM: the engine's own builder attaches none. It does with the containerd image "
    "store; so does, with --push, a builder made by `docker buildx create --use`"
)


@dataclass(frozen=True)
class Builder:
    """What builds: its driver, what it builds for, and whether it can attach to images."""

    driver: str
    platforms: frozenset[str]
    has_containerd_store: bool

    @property
    def is_the_engine(self) -> bool:
        """Whether images are made where they are kept."""
        return self.driver == "docker"

    @property
    def can_build_many(self) -> bool:
        """Whether an image can be for several platforms."""
        return self.has_containerd_store or not self.is_the_engine


class ReleaseImages:
    """The images for release of one project."""

    def __init__(self, project: Project, report: Report) -> None:
        self._project = project
        self._report = report

    def preflight(self, platforms: Sequence[str], *, push: bool) -> None:
        """Check that there is an engine, and a builder that can build for ``platforms``."""
        builder = self._builder
        for each in platforms:
            if not PLATFORM.fullmatch(each):
                raise UsageError(f"{each} is no platform; one is linux/amd64, say, or linux/arm64")
            if each not in builder.platforms:
                known = ", ".join(sorted(builder.platforms))
                raise EngineError(NO_PLATFORM.format(platform=each, known=known))
        if len(platforms) > 1 and not (builder.can_build_many and push):
            raise EngineError(
                "An image for several platforms needs --push and a builder that can: make one by "
                "`docker buildx create --use`, or build for one platform at a time"
            )

    def build(
        self, tag: str, platforms: Sequence[str], arguments: Mapping[str, str],
        labels: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Build the image into the engine as ``tag``, of several platforms for this machine's."""
        native = self._native(platforms)
        self._build(tag, [native] if native else [], arguments, labels, push=False)

    def check(self, image: str, platforms: Sequence[str], *options: str) -> str:
        """Run the pipeline in an image, locked down as its services are; return its report."""
        self._report("Trying the pipeline in the image")
        with engine_errors():
            gpus = self._project.settings.gpu and has_nvidia_runtime(self._client.info())
        values = {
            name: text
            for name, text in self._project.environment.items()
            if name not in CLIENT and not name.startswith("PIP_")
        }
        container = f"{self._project.name}-check-{os.getpid()}"
        argv = commands.check(
            container, image, sorted(values), *options,
            platform=self._native(platforms), gpus=gpus,
        )  # fmt: skip
        environment = {**values, **client_environment(os.environ, self._project)}
        try:
            output = process.run(argv, env=environment).decode(errors="replace")
        except KeyboardInterrupt:
            with engine_errors(), suppress(APIError):
                self._client.containers.get(container).remove(force=True)
            raise
        except CommandError as error:
            raise explain(str(error)) or ServiceError(f"The check failed:\n{error.said}") from error
        return output.rstrip("\n").rpartition("\n")[2]

    def name(self, built: str, tag: str) -> None:
        """Give the image that was built as ``built`` its final name."""
        with engine_errors():
            self._client.images.get(built).tag(tag)

    def forget(self, built: str) -> None:
        """Take a name away, and the image with it that has no other."""
        with engine_errors(), suppress(APIError):
            self._client.images.remove(built)

    def push(
        self, reference: Reference, platforms: Sequence[str], arguments: Mapping[str, str],
        labels: Mapping[str, str],
    ) -> str:  # fmt: skip
        """Push the image; return the digest it has in the registry."""
        tag = str(reference)
        self._report(f"Pushing {tag}")
        try:
            if self._builder.is_the_engine:
                self._relay(commands.push(tag))
            else:  # all platforms, and what is attached; nothing is built again
                self._build(tag, platforms, arguments, labels, push=True)
        except (CommandError, EngineError) as error:
            raise explain_push(error, reference.registry, tag) from error
        finally:
            self._report(Passing(""))
        image = find_image(self._client, tag)
        digests = image.attrs.get("RepoDigests") or [] if image else []
        own = [each.partition("@")[2] for each in digests if each.startswith(f"{reference.name}@")]
        return own[0] if own else ""

    def fetch(self, tag: str, *, newest: bool) -> None:
        """Have an image for release here; ``newest``: ask its registry, if it names one.

        Raises EngineError where it is neither here nor to be had, UsageError where it is another
        kind of image.
        """
        reference = parse_reference(tag)
        here = find_image(self._client, tag)
        if here is None or (newest and reference.host and not reference.digest):
            self._report(f"Pulling {tag}...")
            try:
                self._relay(commands.pull(tag))
            except CommandError as error:
                if here is None:
                    raise explain_pull(str(error), reference.registry, tag) from error
                self._report(f"{tag} could not be pulled; the one on this machine is used")
            finally:
                self._report(Passing(""))
            here = find_image(self._client, tag)
        if here is None or RELEASE_LABEL not in (here.labels or {}):
            raise UsageError(
                f"{tag} was not made by `denzel build`, so services cannot run from it; make an "
                "image by `denzel build --tag NAME:TAG`, and launch that"
            )
        project, name = here.labels.get(f"{OCI}.title"), self._project.name
        if newest and project != name:
            self._report(
                f"{tag} was made of the project {project}: it runs here as {name}, with the "
                "settings and secrets of this one"
            )

    def facts(self, tag: str) -> tuple[str, int]:
        """Return an image's id and its size in bytes."""
        image = find_image(self._client, tag)
        return (str(image.id), int(image.attrs["Size"])) if image else ("", 0)

    def keep_lock(self, tag: str) -> bool:
        """Write the image's requirements.lock into the project; tell whether it is another one."""
        content = self._read(tag, f"{IN_IMAGE}/{LOCK}")
        file = self._project.root / LOCK
        if not content or (file.exists() and file.read_bytes() == content):
            return False
        write_atomically(file, content)
        return True

    def _read(self, tag: str, path: str) -> bytes:
        """Return a file of an image; nothing where there is none."""
        with engine_errors():
            container = self._client.containers.create(tag)
            try:
                chunks, _ = container.get_archive(path)
                archive = io.BytesIO(b"".join(chunks))
            except NotFound:
                return b""
            finally:
                container.remove(force=True)
        with tarfile.open(fileobj=archive) as tar:
            member = tar.extractfile(tar.getmembers()[0])
            return member.read() if member else b""

    def _build(
        self, tag: str, platforms: Sequence[str], arguments: Mapping[str, str],
        labels: Mapping[str, str], *, push: bool,
    ) -> None:  # fmt: skip
        sbom = self._builder.has_containerd_store or push
        if not sbom and self._builder.is_the_engine:
            self._report(NO_SBOM)
        environment = build_environment(self._project)
        settings = environment.get("DENZEL_BUILD_SETTINGS", str(self._project.env_file))
        argv = commands.build(
            tag, settings=Path(settings), arguments=arguments, labels=labels,
            platforms=platforms, push=push, sbom=sbom,
        )  # fmt: skip
        run_build(argv, "for release", self._project, self._report, self._place)

    def _native(self, platforms: Sequence[str]) -> str:
        """Return the one of several platforms that this machine runs best; empty: its own."""
        own = f"linux/{MACHINES.get(platform.machine(), platform.machine())}"
        return own if own in platforms else next(iter(platforms), "")

    @property
    def _place(self) -> dict[str, Any]:
        environment = client_environment(os.environ, self._project)
        return {"cwd": self._project.root, "env": environment}

    def _relay(self, argv: Sequence[str]) -> None:
        process.relay(argv, lambda line: self._report(Passing(line.strip())), **self._place)

    @cached_property
    def _client(self) -> docker.DockerClient:
        return connect()

    @cached_property
    def _builder(self) -> Builder:
        with engine_errors():
            info = self._client.info()
        try:
            listing = process.run(commands.inspect_builder(), **self._place).decode()
        except CommandError as error:
            raise explain(str(error)) or EngineError(NO_BUILDX.format(said=error.said)) from error
        return read_builder(listing, info)


def read_builder(listing: str, info: Mapping[str, Any]) -> Builder:
    """Return a builder from what buildx prints of it, and the engine's information."""
    facts = dict(re.findall(r"(?m)^(Driver|Platforms):\s+(.*)$", listing))
    platforms = {each.strip().rstrip("*") for each in facts.get("Platforms", "").split(",")}
    drivers = dict(info.get("DriverStatus") or [])
    has_containerd_store = "containerd.snapshotter" in drivers.get("driver-type", "")
    return Builder(facts.get("Driver", "docker"), frozenset(platforms - {""}), has_containerd_store)
