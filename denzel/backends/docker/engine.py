"""The Docker engine, asked through its SDK: does it answer, what does it have."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import requests
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, ImageNotFound

from denzel.backends.docker.errors import NO_ENGINE, explain
from denzel.errors import EngineError

ANSWER_SECONDS = 5
DIRECTORY_LABEL = "com.docker.compose.project.working_dir"
SERVICE_LABEL = "com.docker.compose.service"
DEFAULT_HOST = "unix:///var/run/docker.sock"


def connect(*, timeout: int = 60) -> docker.DockerClient:
    """Return a client of the engine that the docker command would use; it has answered.

    ``timeout`` is in seconds.  Raises EngineError when no engine answers, or not to this user.
    """
    try:
        environment = _environment()
        _try_socket(environment.get("DOCKER_HOST", DEFAULT_HOST), timeout)
        return docker.from_env(timeout=timeout, environment=environment)
    except (DockerException, requests.RequestException, OSError) as error:
        meaning = explain(f"{error!r} {error}")
        raise meaning or EngineError(f"{NO_ENGINE} ({error})") from error


@contextmanager
def engine_errors() -> Iterator[None]:
    """Raise a lost connection to the engine as an EngineError; its answers pass through."""
    try:
        yield
    except (requests.RequestException, OSError) as error:
        if isinstance(error, APIError):
            raise
        meaning = explain(f"{error!r} {error}")
        raise meaning or EngineError(f"The Docker engine does not answer: {error}") from error


def engine_answers() -> bool:
    """Tell whether a Docker engine answers this user."""
    try:
        connect(timeout=ANSWER_SECONDS).close()
    except EngineError:
        return False
    return True


def launched_directories() -> set[str]:
    """Return the directories of projects that have a container of a worker's."""
    filters: dict[str, Any] = {"label": [DIRECTORY_LABEL, f"{SERVICE_LABEL}=denzel"]}
    with engine_errors():
        found = connect().containers.list(all=True, filters=filters, ignore_removed=True)
    return {os.path.realpath(container.labels[DIRECTORY_LABEL]) for container in found}


def find_image(client: docker.DockerClient, name: str) -> Any | None:
    """Return the local image called ``name``; None when there is none.

    Raises EngineError for a name no image can have.
    """
    try:
        with engine_errors():
            return client.images.get(name)
    except ImageNotFound:
        return None
    except APIError as error:
        raise EngineError(
            f"The engine cannot look for an image called {name} ({error.explanation}); "
            "correct the name in .env"
        ) from error


def has_nvidia_runtime(info: dict[str, Any]) -> bool:
    """Tell from an engine's ``info`` whether its containers can get NVIDIA GPUs."""
    devices = info.get("DiscoveredDevices") or []
    return "nvidia" in (info.get("Runtimes") or {}) or any(
        str(device.get("ID", "")).startswith("nvidia.com/") for device in devices
    )


def _try_socket(host: str, timeout: float) -> None:
    """Connect to the engine's socket; the SDK's own attempt, if it fails, stays open."""
    scheme, _, path = host.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)


def _environment() -> dict[str, str]:
    """Return the environment with the current context's engine named in it, as docker does."""
    environment = dict(os.environ)
    if not environment.get("DOCKER_HOST"):
        context = ContextAPI.get_current_context()
        if context is not None and context.Host:
            environment["DOCKER_HOST"] = context.Host
    return environment
