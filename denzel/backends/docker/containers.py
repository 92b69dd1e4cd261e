"""The containers of one project: which there are, and what is done with them without Compose."""

from __future__ import annotations

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import APIError

from denzel.backends.base import Report
from denzel.backends.docker.commands import SERVING_USER, STATES
from denzel.backends.docker.engine import DIRECTORY_LABEL, connect, engine_errors
from denzel.backends.docker.images import PROJECT_LABEL
from denzel.backends.docker.release_commands import RELEASE_LABEL
from denzel.backends.docker.replicas import running_replicas, service_of_container
from denzel.backends.docker.status import (
    Container,
    read_container,
    read_records,
    read_worker_record,
)
from denzel.errors import ProjectError
from denzel.polling import polls
from denzel.project import Project
from denzel.services import REDIS

if TYPE_CHECKING:
    import docker

ONE_OFF_LABEL = "com.docker.compose.oneoff"
REMOVAL_SECONDS = 30.0
THREADS = 8


class Containers:
    """The containers of a project, as the engine shows them; it is asked when something is."""

    def __init__(self, project: Project, report: Report) -> None:
        self._project = project
        self._report = report

    @cached_property
    def client(self) -> docker.DockerClient:
        """The engine."""
        return connect()

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self._recorded_name if self._project.flaw else self._project.name

    def all(self) -> list[Any]:
        """Return this project's containers.

        Raises ProjectError when containers of its name were made from another directory.
        """
        with engine_errors():
            found = self.client.containers.list(
                all=True,
                # Those of a check come and go by themselves.
                filters={"label": [f"{PROJECT_LABEL}={self.name}", f"{ONE_OFF_LABEL}=False"]},
                ignore_removed=True,
            )
        here = self._here
        for container in found:
            there = container.labels.get(DIRECTORY_LABEL, here)
            # A directory that is gone was moved here, or left its containers behind.
            if os.path.realpath(there) != here and Path(there).exists():
                raise ProjectError(
                    f"The project in {there} runs under the name {self._project.name} already; "
                    "set another PROJECT_NAME (and IMAGE) in .env here, or run "
                    "`denzel shutdown` there"
                )
        return list(found)

    def running(self, service: str) -> dict[str, Any]:
        """Return those of a service that run, by their replicas' names; raises ServiceError."""
        return running_replicas(self.all(), service)

    def has_running(self, service: str) -> bool:
        """Tell whether any of a service runs."""
        return any(
            service_of_container(found) == service and found.status == "running"
            for found in self.all()
        )

    def described(self) -> list[Container]:
        """Return all, with what those that run say of themselves.

        All at once: a service that hangs keeps none but its own container waiting.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(_with_records, self.all()))

    def stop(self) -> int:
        """Stop all, Redis's last; return how many there were."""
        found = self.all()
        with ThreadPoolExecutor(THREADS) as pool, engine_errors():
            for last in (False, True):
                batch = [each for each in found if (service_of_container(each) == REDIS) is last]
                for container, _ in zip(batch, pool.map(_stop, batch), strict=True):
                    self._report(f"Stopping {container.name} ... done")
        return len(found)

    def remove(self) -> int:
        """Remove all, whatever they do; return how many there were."""
        found = self.all()
        with engine_errors():
            for container in found:
                with suppress(APIError):  # something else is removing it
                    container.remove(force=True)
                self._report(f"Removing {container.name} ... done")
        return len(found)

    def remove_all_that_come(self) -> None:
        """Remove all, and those that a start which was cut short makes still.

        The engine may finish creating a container after the request was given up, so it is
        asked until it has shown none twice.
        """
        clear = 0
        for _ in polls(1.0, timeout=REMOVAL_SECONDS):
            clear = 0 if self.remove() else clear + 1
            if clear == 2:
                break

    def remove_services(self, services: Collection[str]) -> None:
        """Remove those of some services."""
        for found in self.all():
            if service_of_container(found) in services:
                self.remove_one(found.name)

    def remove_one(self, name: str) -> None:
        """Remove the container of this name, whether or not it is one of the project's services."""
        with engine_errors(), suppress(APIError):  # it was not made, or something else removes it
            self.client.containers.get(name).remove(force=True)

    @cached_property
    def _recorded_name(self) -> str:
        """The name its containers carry, for when ``.env`` cannot be trusted with it."""
        with engine_errors():
            found = self.client.containers.list(
                all=True, filters={"label": DIRECTORY_LABEL}, ignore_removed=True
            )
        for container in found:
            if os.path.realpath(container.labels[DIRECTORY_LABEL]) == self._here:
                return str(container.labels[PROJECT_LABEL])
        return self._project.name

    @property
    def _here(self) -> str:
        return os.path.realpath(self._project.root)


def runs_project(found: Any) -> bool:
    """Tell whether a container serves the project's code, not an image's own program."""
    return RELEASE_LABEL in found.labels or any(
        mount.get("Destination") == "/opt/denzel/venv" for mount in found.attrs["Mounts"]
    )


def _with_records(found: Any) -> Container:
    container = read_container(found.attrs)
    if not container.running or not runs_project(found):
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
