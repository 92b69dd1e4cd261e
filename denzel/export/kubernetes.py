"""Kubernetes' manifests: a Kustomize base, components, and an overlay that is the user's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from denzel.backends.docker.references import parse_reference
from denzel.errors import UsageError
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
from denzel.templates.project.app.runtime.settings.redis_address import REDIS_PORT, SENTINEL_PORT

NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
"""What Kubernetes takes for the name of a namespace (RFC 1123, a label)."""
LONGEST_NAMESPACE = 63
TAKEN = ("default", "kube-")
"""How the names of Kubernetes' own namespaces begin."""
SECRETS_FILE = "base/secrets.env"
OVERLAY = "overlays/production"
USED_COMPONENT = re.compile(r"(?m)^\s*-\s+\S*/components/([\w-]+)")
"""In an overlay, a line of its components that is no comment."""
EXAMPLE_HOST = "predict.example.com"
TLS_PORT = 6380
"""On which managed Redis usually speaks TLS."""


def namespace_of(project: Project, chosen: str | None) -> str:
    """Return the namespace, made from the project's name where none is chosen.

    Raises UsageError for a name that Kubernetes refuses.
    """
    name = chosen if chosen is not None else project.name.replace("_", "-").strip("-")
    if not NAMESPACE.fullmatch(name) or len(name) > LONGEST_NAMESPACE:
        raise UsageError(
            f"{name!r} cannot be a namespace in Kubernetes: at most {LONGEST_NAMESPACE} lower-case "
            "letters, digits and -, beginning and ending with a letter or digit; choose one with "
            "--namespace"
        )
    if name == TAKEN[0] or name.startswith(TAKEN[1]):
        raise UsageError(
            f"The namespace {name} is not for one deployment alone, as its network policies need "
            "it to be; choose another with --namespace"
        )
    return name


def kubernetes_files(project: Project, image: str, namespace: str) -> Export:
    """Return the manifests of a project's image."""
    settings, secrets = split_environment(project)
    values = {
        "NAMESPACE": namespace,
        "IMAGE": _image(image),
        "REDIS_IMAGE": _image(project.settings.redis_image),
        "HOST": project.settings.https_domain or EXAMPLE_HOST,
        "API_PATH": project.settings.api_prefix or "/",
        "MONITOR_PATH": project.settings.monitor_prefix or "/monitor",
        **_resources(project),
        **_redis(project, namespace),
        **_overlay(project),
    }
    files = fill("export/kubernetes", values)
    files["base/redis.sh"] = redis_script()
    files["base/settings.env"] = env_lines(settings, "From .env, by `denzel export kubernetes`.")
    files[SECRETS_FILE] = env_lines(secrets, "From .env.secrets.  Not for version control.")
    return Export(
        "kubernetes", files, frozenset({SECRETS_FILE}), frozenset({f"{OVERLAY}/kustomization.yaml"})
    )


def _image(reference: str) -> str:
    """Return an image's lines in a list of Kustomize's ``images``."""
    found = parse_reference(reference)
    version = f"digest: {found.digest}" if found.digest else f'newTag: "{found.tag}"'
    return f"newName: {found.name}\n    {version}"


def _resources(project: Project) -> dict[str, Any]:
    settings = project.settings
    found: dict[str, Any] = {
        "PROGRESS_SECONDS": int(settings.model_load_timeout) + 600,
        "WORKER_STOP_SECONDS": worker_stop_seconds(project),
        "CALLBACKS_STOP_SECONDS": callbacks_stop_seconds(project),
        "REDIS_MEMORY": f"{redis_megabytes(project)}Mi",
        "REDIS_DISK": f"{max(10, megabytes(settings.redis_max_memory) * 4 // 1024)}Gi",
    }
    for name, cpus, memory, usual_cpus, usual_memory in (
        ("API", settings.api_cpus, settings.api_memory, "500m", "512Mi"),
        ("WORKER", settings.worker_cpus, settings.worker_memory, "1", "1Gi"),
    ):
        # Processes are started for as many processors as the limit has, so there is one always.
        size = f"{megabytes(memory)}Mi" if memory else ""
        found[f"{name}_CPU_REQUEST"] = f'"{cpus:g}"' if cpus else f'"{usual_cpus}"'
        found[f"{name}_CPU_LIMIT"] = f'"{cpus or 2:g}"'
        found[f"{name}_MEMORY_REQUEST"] = size or usual_memory
        found[f"{name}_MEMORY_LIMIT"] = size or "null  # none, without a setting"
    return found


def _redis(project: Project, namespace: str) -> dict[str, str]:
    """Return where KEDA finds Redis, and which ports services need to reach."""
    address = project.settings.redis
    hosts = address.hosts if external_redis(project) else ((f"redis.{namespace}.svc", REDIS_PORT),)
    ports = {REDIS_PORT, TLS_PORT, SENTINEL_PORT, *(port for _, port in hosts)}
    by_sentinel = bool(address.master)
    return {
        "REDIS_TRIGGER": "redis-sentinel" if by_sentinel else "redis",
        "REDIS_ADDRESSES": "addresses" if by_sentinel else "address",
        "REDIS_ADDRESS": ",".join(f"{host}:{port}" for host, port in hosts),
        "REDIS_MASTER": address.master,
        "REDIS_USER": address.username,
        "REDIS_DATABASE": str(address.database),
        "REDIS_TLS": str(address.tls).lower(),
        "REDIS_PORTS": str([{"port": each} for each in sorted(ports)]),
    }


def overlay_changes(project: Project, directory: Path) -> list[str]:
    """Return what its user should change in the overlays, which a later export leaves as they are.

    Each component that a setting needs should be used in one of them.
    """
    used: set[str] = set()
    for path in directory.glob("overlays/**/kustomization.yaml"):
        used.update(USED_COMPONENT.findall(path.read_text(encoding="utf-8", errors="replace")))
    overlay = f"{OVERLAY}/kustomization.yaml"
    changes = [
        f"Add ../../components/{name} to {overlay}: {setting} needs it"
        for name, setting in _components(project).items()
        if name not in used
    ]
    if "external-redis" in used and not external_redis(project):
        changes.append(
            f"Take ../../components/external-redis out of {overlay}: there is no REDIS_URL"
        )
    return changes


def _components(project: Project) -> dict[str, str]:
    """Return the components that settings need, each with its setting."""
    settings = project.settings
    needed = {
        ("external-redis", "REDIS_URL"): bool(external_redis(project)),
        ("gpu", "GPU"): settings.gpu,
        ("ingress", "HTTPS_DOMAIN"): bool(settings.https_domain),
        ("monitor", "MONITOR_USER"): settings.serves_monitor,
    }
    return dict(each for each, is_needed in needed.items() if is_needed)


def _overlay(project: Project) -> dict[str, str]:
    """Return what the overlay begins with; the rest of it stands there as comments."""
    used = _components(project)
    names = ["external-redis", "gpu", "ingress", "monitor", "hpa-api", "hpa-worker", "keda"]
    lines = [f"{' ' if each in used else '#'} - ../../components/{each}" for each in names]
    return {
        "COMPONENTS": "\n".join(["components:" if used else "# components:", *lines]),
        "CPU_WORKERS": "0" if project.settings.gpu else "2",
    }
