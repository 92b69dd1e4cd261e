"""The Caddy that serves HTTPS beside the services, where HTTPS_DOMAIN asks for one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from denzel.backends.local.supervision import PROGRAMS, Program, replicated
from denzel.errors import EngineError
from denzel.ports import check_https_ports
from denzel.services import HTTPS, REDIS
from denzel.templates.project.app.runtime.health import ANY_ADDRESS
from denzel.templates.project.app.runtime.hosts import authority
from denzel.templates.project.app.runtime.settings import Settings

CADDY_VARIABLE = "DENZEL_CADDY"
HTTPS_PROGRAM = Program(
    HTTPS,
    # It keeps its certificates in .denzel/caddy.
    "bash -c 'XDG_DATA_HOME=.denzel XDG_CONFIG_HOME=.denzel "
    f'exec "${CADDY_VARIABLE}" run --config entrypoints/Caddyfile --adapter caddyfile\'',
    priority=20,
    stop_seconds=10,
)


def programs(settings: Settings) -> tuple[Program, ...]:
    """Return what supervisord is to run, in the order in which it is started."""
    counts = {"api": settings.api_replicas, "denzel": settings.worker_replicas}
    wanted = tuple(each for each in PROGRAMS if each.name != REDIS or not settings.redis_url)
    found = replicated(wanted, counts)
    return (*found, HTTPS_PROGRAM) if settings.https_domain else found


def find_caddy() -> Path:
    """Return the Caddy on PATH; raises EngineError when there is none."""
    found = shutil.which("caddy")
    if found is None:
        raise EngineError(
            "HTTPS_DOMAIN in .env needs Caddy, which is not on PATH; install it (`sudo apt install "
            "caddy`, or https://caddyserver.com/docs/install), or launch with --docker"
        )
    return Path(found)


def check_https(settings: Settings) -> None:
    """Raise unless Caddy is there and can have its ports, if it is asked for at all."""
    if settings.https_domain:
        find_caddy()
        check_https_ports({"HTTPS_PORT": settings.https_port, "HTTP_PORT": settings.http_port})


def caddy_environment(settings: Settings) -> Mapping[str, str]:
    """Return what the project's Caddyfile takes from the environment; nothing without Caddy."""
    if not settings.https_domain:
        return {}
    return {
        CADDY_VARIABLE: str(find_caddy()),
        "HTTPS_DOMAIN": settings.https_domain,
        "HTTPS_CERTIFICATES": settings.https_certificates,
        "HTTPS_MONITOR": "import monitor" if settings.serves_monitor else "",
        "HTTPS_PORT": str(settings.https_port),
        "HTTP_PORT": str(settings.http_port),
        "API_UPSTREAM": _upstream(settings.api_host, settings.api_port),
        "MONITOR_UPSTREAM": _upstream(settings.monitor_host, settings.monitor_port),
        "MONITOR_PREFIX": settings.monitor_prefix,
    }


def _upstream(host: str, port: int) -> str:
    return authority(ANY_ADDRESS.get(host, host), port)
