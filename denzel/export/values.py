"""What of a project's settings reaches services that run elsewhere, and what sizes they ask for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from denzel.errors import UsageError
from denzel.project import Project
from denzel.settings import SECRETS
from denzel.templates import TEMPLATES
from denzel.templates.project.app.runtime.settings import INTERNAL
from denzel.templates.project.app.runtime.settings.table import MOST_REPLICAS

OF_THIS_MACHINE = frozenset(
    {
        "API_HOST", "API_PORT", "MONITOR_HOST", "MONITOR_PORT", "HTTPS_DOMAIN",
        "HTTPS_CERTIFICATES", "HTTPS_PORT", "HTTP_PORT", "GRAFANA_PORT", "WITH_METRICS",
        "BASE_IMAGE", "REDIS_IMAGE", "CADDY_IMAGE", "PROMETHEUS_IMAGE", "GRAFANA_IMAGE", "IMAGE",
        "RELEASE_IMAGE", "API_MEMORY", "API_CPUS", "WORKER_MEMORY", "WORKER_CPUS", "VERSIONS_KEPT",
        "GPU", "GPU_COUNT", "API_REPLICAS", "WORKER_REPLICAS",
        "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
    }
    | {each.name for each in INTERNAL}
)  # fmt: skip
"""Settings of how this machine runs and publishes the services, and of what images are built.

Which of its GPUs they use is one: elsewhere the cluster gives each worker its GPU.
"""
FOR_BUILDING = ("PIP_", "COMPOSE_", "DOCKER_")
"""How the names of the variables begin that pip, Compose and Docker read."""
OWN_REDIS_URL = "redis://redis:6379/0"
STOP_MARGIN_SECONDS = 60
"""Besides PREDICTION_TIMEOUT: what cannot be interrupted is ended 10 s later, and all is stored."""
UNLIMITED_STOP_SECONDS = 86400
"""How long a worker has to end where PREDICTION_TIMEOUT is 0."""
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def external_redis(project: Project) -> str:
    """Return the URL of the Redis that the project names; empty: it has its own.

    Raises UsageError for one that no other machine reaches.
    """
    if project.settings.redis_url and project.settings.redis.socket_path:
        raise UsageError(
            "REDIS_URL names a Unix socket, which other machines do not reach; name a host there"
        )
    return project.settings.redis_url


def split_environment(project: Project) -> tuple[dict[str, str], dict[str, str]]:
    """Return what services get as environment variables, and what they get as secrets.

    Raises UsageError for what a line of a file of variables cannot hold.
    """
    environment = {
        name: text
        for name, text in project.environment.items()
        if text and name not in OF_THIS_MACHINE and not name.startswith(FOR_BUILDING)
    }
    from_secrets_file = project.read_secrets_file()
    hidden = {name for name in environment if name in SECRETS or name in from_secrets_file}
    hidden |= {"REDIS_URL"} & environment.keys()
    for name, text in environment.items():
        _check(name, text)
    settings = {name: text for name, text in environment.items() if name not in hidden}
    secrets = {name: environment[name] for name in sorted(hidden)}
    return {**_inside(project), **settings}, secrets


def _inside(project: Project) -> dict[str, str]:
    """Return what is so inside every container, and what settings left out imply."""
    settings = project.settings
    inside = {
        "API_HOST": "0.0.0.0",
        "API_PORT": "8000",
        "MONITOR_HOST": "0.0.0.0" if settings.monitor_user else "127.0.0.1",
        "MONITOR_PORT": "5555",
        "REDIS_MAX_MEMORY": settings.redis_max_memory,
        "REDIS_FSYNC": settings.redis_fsync,
        # There may be any number of workers, so none waits for the name of another to be free.
        "WORKER_REPLICAS": str(MOST_REPLICAS),
    }
    if not external_redis(project):
        inside["OWN_REDIS_URL"] = OWN_REDIS_URL
    if settings.serves_monitor:
        inside["MONITOR_PREFIX"] = settings.monitor_prefix
    return inside


def _check(name: str, text: str) -> None:
    if not ENVIRONMENT_NAME.fullmatch(name):
        raise UsageError(f"{name!r} in .env cannot be the name of an environment variable there")
    if "\n" in text or "\r" in text:
        raise UsageError(
            f"{name} has several lines, which a variable of a container cannot have here; encode "
            "it, in base64 for example, or put it into a file of the image"
        )


def redis_script() -> str:
    """Return the script that starts Redis."""
    path = TEMPLATES / "project/entrypoints/redis.sh"
    return path.read_text(encoding="utf-8").replace("\r\n", "\n")


def env_lines(values: Mapping[str, str], comment: str) -> str:
    """Return the text of a file of variables, as Docker and Kustomize read it: without quotes."""
    lines = [f"{name}={text}" for name, text in sorted(values.items())]
    return "\n".join([f"# {comment}", *lines]) + "\n"


def worker_stop_seconds(project: Project) -> int:
    """Return how long a worker may take to finish what it has begun."""
    seconds = project.settings.prediction_timeout or UNLIMITED_STOP_SECONDS
    return math.ceil(seconds) + STOP_MARGIN_SECONDS


def callbacks_stop_seconds(project: Project) -> int:
    """Return how long the callbacks service may take for what is under way."""
    return math.ceil(project.settings.callback_timeout) + 10


def megabytes(size: str) -> int:
    """Return a size such as 512mb in MiB, rounded up."""
    number, unit = int(size[:-2]), size[-2:]
    return math.ceil(number * {"kb": 2**10, "mb": 2**20, "gb": 2**30}[unit] / 2**20)


def redis_megabytes(project: Project) -> int:
    """Return the memory Redis's container needs: see limits.yaml."""
    return megabytes(project.settings.redis_max_memory) * 3 // 2 + 64
