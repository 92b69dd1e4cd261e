"""HTTPS_DOMAIN with local processes: Caddy is one of them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from backends.contract import wait_until
from backends.stand_in_project import Launched, behave, stand_in_project
from caddy import DOMAIN, ask, needs_caddy, title
from denzel.backends.local.backend import LocalBackend
from denzel.backends.local.https import caddy_environment, check_https, find_caddy, programs
from denzel.errors import EngineError, PortTaken
from denzel.ports import free_port
from denzel.project import Project
from denzel.services import State
from denzel.templates.project.app.runtime.settings import parse_settings

SOON = 30.0
ROOT = ".denzel/caddy/pki/authorities/local/root.crt"
CERTIFICATE = f".denzel/caddy/certificates/local/{DOMAIN}/{DOMAIN}.crt"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = stand_in_project(tmp_path)
    https = free_port(project.settings.monitor_port + 1)
    project.set_environment(
        HTTPS_DOMAIN=DOMAIN,
        HTTPS_CERTIFICATES="internal",
        HTTPS_PORT=str(https),
        HTTP_PORT=str(free_port(https + 1)),
    )
    return project


def test_without_a_domain_there_is_no_caddy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    settings = parse_settings({})
    check_https(settings)
    assert "https" not in [program.name for program in programs(settings)]
    assert caddy_environment(settings) == {}


def test_with_a_redis_elsewhere_there_is_none_here() -> None:
    names = [program.name for program in programs(parse_settings({"REDIS_URL": "redis://r"}))]
    assert names == ["api", "denzel", "callbacks", "monitor"]


def test_a_machine_without_caddy_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match=r"needs Caddy.*apt install caddy.*--docker"):
        check_https(project.settings)
    with pytest.raises(EngineError, match="needs Caddy"):
        find_caddy()


@needs_caddy
def test_caddy_finds_the_services_where_they_listen_and_the_monitor_only_with_credentials() -> None:
    values = {"HTTPS_DOMAIN": DOMAIN, "API_HOST": "::", "API_PORT": "1", "MONITOR_PORT": "2"}
    environment = caddy_environment(parse_settings(values))
    assert environment["API_UPSTREAM"] == "[::1]:1"
    assert environment["MONITOR_UPSTREAM"] == "127.0.0.1:2"
    assert environment["HTTPS_MONITOR"] == ""
    served = caddy_environment(parse_settings({**values, "MONITOR_USER": "admin"}))
    assert served["HTTPS_MONITOR"] == "import monitor"
    assert served["MONITOR_PREFIX"] == "/monitor"


@needs_caddy
def test_it_serves_and_keeps_its_certificates(project: Project) -> None:
    """It answers for an API that does not listen."""
    behave(project, "api", "deaf")

    def is_up(backend: LocalBackend) -> bool:
        states = {line.name: line.state for line in backend.status().services}
        return states["https"] is State.UP and (project.root / CERTIFICATE).exists()

    with Launched(project) as backend:
        wait_until(lambda: is_up(backend), SOON, backend.status)
        answer = ask(project.settings.https_port, "/info", project.root / ROOT)
        assert (answer.status, title(answer)) == (503, "Service unavailable")
        assert answer.headers["Retry-After"] == "5"
        before = (project.root / CERTIFICATE).read_bytes()
        backend.restart()
        wait_until(lambda: is_up(backend), SOON, backend.status)
        assert ask(project.settings.https_port, "/info", project.root / ROOT).status == 503
        assert (project.root / CERTIFICATE).read_bytes() == before
        project.set_environment(HTTPS_DOMAIN="")
        backend.restart()
        assert "https" not in {line.name for line in backend.status().services}


@needs_caddy
def test_a_restart_that_would_find_a_port_taken_leaves_the_services_alone(project: Project) -> None:
    project.set_environment(HTTPS_DOMAIN="")
    with Launched(project) as backend, socket.create_server(("127.0.0.1", 0)) as other:
        names = {line.name for line in backend.status().services}
        taken = str(other.getsockname()[1])
        project.set_environment(HTTPS_DOMAIN=DOMAIN, HTTPS_PORT=taken)
        with pytest.raises(PortTaken, match=f"Port {taken} is taken"):
            backend.restart()
        after = backend.status().services
        assert {line.name for line in after} == names
        assert State.DOWN not in {line.state for line in after}
