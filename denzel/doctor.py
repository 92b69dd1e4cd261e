"""What this machine lacks to run projects: each finding with its remedy."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from denzel import process
from denzel.backends.docker.engine import connect, has_nvidia_runtime
from denzel.backends.docker.errors import NO_GPU, NO_PERMISSION
from denzel.backends.docker.program import find_compose
from denzel.backends.local.https import find_caddy
from denzel.backends.local.redis_server import find_redis_server
from denzel.errors import DenzelError, EngineError, ProjectError
from denzel.ports import why_unavailable
from denzel.project import Project, find_project
from denzel.templates.project.app.runtime.settings import Settings, parse_settings

DISK_BYTES = 2 * 2**30
"""The images, a virtual environment with a scientific stack, and room to work."""

BUILDX_SECONDS = 30.0
GPU_SECONDS = 30.0
AMD_DRIVER = Path("/dev/kfd")


@dataclass(frozen=True)
class Finding:
    """One thing looked at; ``needed`` says that without it nothing can be launched here."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = False


def diagnose(directory: Path | None = None) -> list[Finding]:
    """Look at everything a launch needs on this machine, for the project in ``directory``.

    One backend suffices: Docker's parts are needed when the project runs on Docker, or when
    local processes cannot be run; and the other way round.
    """
    project = _project_in(directory or Path.cwd())
    backend = project.backend if project else None
    settings = project.settings if project else parse_settings({})
    info = _engine_info()
    engine = _engine_findings(info)
    compose = _attempt("compose", lambda: f"version {plain_version(find_compose().version)}")
    local = [_attempt("redis", lambda: str(find_redis_server())), _supervisor()]
    if settings.https_domain:
        local.append(_attempt("caddy", lambda: str(find_caddy())))
    needs_docker = backend == "docker" or (backend is None and not _all_ok(local))
    may_use_docker = backend is None and not isinstance(info, EngineError)
    needs_local = backend == "local" or (backend is None and not _all_ok([*engine, compose]))
    return [
        *_flaws(project),
        *(replace(finding, needed=needs_docker) for finding in [*engine, compose]),
        _buildx(),
        *_ports(settings, launched=backend is not None),
        *([_gpu_driver(needed=needs_local)] if settings.gpu else []),
        _gpu_runtime(info, needed=settings.gpu and (needs_docker or may_use_docker)),
        _disk(info, project),
        *(replace(finding, needed=needs_local) for finding in local),
    ]


def plain_version(text: str) -> str:
    """Return the number in a version, without what a distribution puts around it."""
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else text


def _project_in(directory: Path) -> Project | None:
    try:
        return find_project(directory, lenient=True)
    except ProjectError:
        return None


def _flaws(project: Project | None) -> list[Finding]:
    """Find what is wrong in the project's settings; the others are looked at all the same."""
    if project is None or not project.flaw:
        return []
    remedy = "put that right first: other commands refuse such settings"
    return [Finding("settings", False, project.flaw, remedy, needed=True)]


def _engine_info() -> dict[str, Any] | EngineError:
    try:
        client = connect()
        try:
            return dict(client.info())
        finally:
            client.close()
    except EngineError as error:
        return error


def _engine_findings(info: dict[str, Any] | EngineError) -> list[Finding]:
    if not isinstance(info, EngineError):
        version = f"version {plain_version(str(info.get('ServerVersion', 'unknown')))}"
        return [Finding("engine", True, version), Finding("permissions", True, "granted")]
    if str(info) == NO_PERMISSION:
        return [Finding("engine", True, "answers, but not to you"), _failed("permissions", info)]
    return [_failed("engine", info), Finding("permissions", True, "no engine to ask")]


def _buildx() -> Finding:
    def version() -> str:
        output = process.run(["docker", "buildx", "version"], timeout=BUILDX_SECONDS)
        return f"version {plain_version(output.decode(errors='replace').strip())}"

    finding = _attempt("buildx", version)
    if finding.ok:
        return finding
    return replace(
        finding,
        detail="the docker command has no buildx, which newer versions of Compose build with",
        remedy="install the package docker-buildx-plugin (docker-buildx on Debian)",
    )


def _ports(settings: Settings, *, launched: bool) -> list[Finding]:
    if launched:
        detail = f"{settings.api_port} and {settings.monitor_port} are this project's own"
        return [Finding("ports", True, detail)]
    findings = []
    for option, port in ("api", settings.api_port), ("monitor", settings.monitor_port):
        reason = why_unavailable(port)
        findings.append(
            Finding(
                f"{option} port",
                reason is None,
                f"{port} {reason or 'is free'}",
                f"choose another one: `denzel launch --{option}-port PORT`" if reason else "",
            )
        )
    return findings


def _gpu_driver(*, needed: bool) -> Finding:
    """Find this machine's own GPUs; only NVIDIA's driver has a program to ask."""
    if sys.platform == "darwin" or AMD_DRIVER.exists():
        return Finding("GPU driver", True, "Apple's" if sys.platform == "darwin" else "AMD's")
    query = ["--query-gpu=index,name,driver_version", "--format=csv,noheader"]
    remedy = "install NVIDIA's driver, or set GPU=0 in .env"
    try:
        output = process.run(["nvidia-smi", *query], timeout=GPU_SECONDS).decode(errors="replace")
    except DenzelError as error:
        return Finding("GPU driver", False, str(error), remedy, needed)
    rows = [row.split(", ") for row in output.strip().splitlines()]
    if not rows or any(len(row) != query[0].count(",") + 1 for row in rows):
        return Finding("GPU driver", False, output.strip() or "it shows no GPU", remedy, needed)
    gpus = [f"GPU {index} ({name})" for index, name, _ in rows]
    return Finding("GPU driver", True, f"version {rows[0][2]}: {', '.join(gpus)}", needed=needed)


def _gpu_runtime(info: dict[str, Any] | EngineError, *, needed: bool) -> Finding:
    if not isinstance(info, EngineError) and has_nvidia_runtime(info):
        return Finding("GPU runtime", True, "the engine has NVIDIA's", needed=needed)
    detail, _, remedy = NO_GPU.partition("; ")
    if not needed:
        detail = "the engine has no NVIDIA runtime; only projects made with --gpu need it"
    return Finding("GPU runtime", False, detail, remedy, needed)


def _disk(info: dict[str, Any] | EngineError, project: Project | None) -> Finding:
    """Find the space left where images lie; that is elsewhere when the engine is remote."""
    images = Path("/nowhere" if isinstance(info, EngineError) else info.get("DockerRootDir", "/"))
    place = images if images.exists() else project.root if project else Path.cwd()
    free = shutil.disk_usage(place).free
    return Finding(
        "disk",
        free >= DISK_BYTES,
        f"{free / 2**30:.1f} GiB free in {place}",
        ""
        if free >= DISK_BYTES
        else f"free {DISK_BYTES / 2**30:.0f} GiB; `docker system prune` "
        "removes what Docker no longer needs",
        needed=True,
    )


def _supervisor() -> Finding:
    if importlib.util.find_spec("supervisor"):
        return Finding("supervisor", True, "installed")
    return Finding(
        "supervisor",
        False,
        "the package that runs local processes is not installed",
        'run `python3 -m pip install "denzel[local]"`',
    )


def _attempt(name: str, look: Any) -> Finding:
    try:
        return Finding(name, True, look())
    except DenzelError as error:
        return _failed(name, error)


def _failed(name: str, error: DenzelError) -> Finding:
    """Return a finding from an error, which says first what is wrong and then what to do."""
    detail, _, remedy = str(error).partition("; ")
    return Finding(name, False, detail, remedy)


def _all_ok(findings: Iterable[Finding]) -> bool:
    return all(finding.ok for finding in findings)
