"""A stack for Docker Swarm."""

from __future__ import annotations

import hashlib

from denzel.backends.docker.references import parse_reference
from denzel.export.directory import Export, fill
from denzel.export.values import (
    callbacks_stop_seconds,
    env_lines,
    external_redis,
    megabytes,
    redis_megabytes,
    redis_script,
    split_environment,
    worker_stop_seconds,
)
from denzel.project import Project

LONGEST_NAME = 64
"""Of a secret or config; the engine takes letters, digits and . _ - (swarmkit, controlapi)."""
HASH_DIGITS = 12


def swarm_files(project: Project, image: str) -> Export:
    """Return the stack of a project's image."""
    parse_reference(image)
    settings, secrets = split_environment(project)
    script = redis_script()
    found = project.settings
    values = {
        "IMAGE": image,
        "API_PORT": found.api_port,
        "MONITOR_PORT": found.monitor_port,
        "MONITOR_REPLICAS": int(bool(found.monitor_user)),
        "API_CPUS": f"{found.api_cpus or 2:g}",
        "API_MEMORY": _memory(found.api_memory),
        "WORKER_CPUS": f"{found.worker_cpus or 2:g}",
        "WORKER_MEMORY": _memory(found.worker_memory),
        "WORKER_STOP_SECONDS": worker_stop_seconds(project),
        "CALLBACKS_STOP_SECONDS": callbacks_stop_seconds(project),
        "REDIS_IMAGE": found.redis_image,
        "REDIS_MAX_MEMORY": found.redis_max_memory,
        "REDIS_FSYNC": found.redis_fsync,
        "REDIS_MEMORY": f"{redis_megabytes(project)}M",
        "REDIS_SCRIPT": _versioned(project.name, "redis.sh", script),
        "SECRET_LIST": "\n".join(f"    - {name}" for name in secrets),
        "SECRETS": "\n".join(
            f"  {name}:\n    name: {_versioned(project.name, name, text)}\n    file: secrets/{name}"
            for name, text in secrets.items()
        ),
    }
    files = fill("export/swarm", values)
    if external_redis(project):
        del files["redis.yml"]
    else:
        files["redis.sh"] = script
    if not found.gpu:
        del files["gpu.yml"]
    files["settings.env"] = env_lines(settings, "From .env, by `denzel export swarm`.")
    private = {f"secrets/{name}": text for name, text in secrets.items()}
    return Export("swarm", {**files, **private}, frozenset(private))


def _memory(size: str | None) -> str:
    return f"{megabytes(size)}M" if size else '"0"  # no limit'


def _versioned(project: str, name: str, content: str) -> str:
    """Return a name that changes with the content: an engine's secrets and configs never do."""
    digest = hashlib.sha256(f"{name}\0{content}".encode()).hexdigest()[:HASH_DIGITS]
    room = LONGEST_NAME - HASH_DIGITS - 1
    return f"{f'{project}-{name}'[:room]}-{digest}"
