"""The service https: Caddy in a container, with Debian's Caddy in place of the official image."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from caddy import DOMAIN, ask, title
from denzel.backends.docker.backend import ComposeBackend
from denzel.polling import polls
from denzel.ports import free_port
from denzel.project import Project
from denzel.scaffold import start_project
from denzel.services import State
from engine import docker, end_deployment, require_engine
from port_range import FIRST_PORT

NAME = f"https-{os.getpid()}"
IMAGE = f"{NAME}-caddy:2"
DOCKERFILE = """\
FROM python:3.13-slim
RUN apt-get update && apt-get install --yes --no-install-recommends caddy
"""
READY_SECONDS = 60


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a project whose Caddy can be started alone."""
    require_engine()
    project = start_project(tmp_path_factory.mktemp("https"), NAME)
    https = free_port(FIRST_PORT)
    project.set_environment(
        HTTPS_DOMAIN=DOMAIN,
        HTTPS_CERTIFICATES="internal",
        HTTPS_PORT=str(https),
        HTTP_PORT=str(free_port(https + 1)),
        CADDY_IMAGE=IMAGE,
    )
    built = subprocess.run(
        ["docker", "build", "--tag", IMAGE, "-"],
        input=DOCKERFILE, text=True, capture_output=True, timeout=300,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    yield project
    end_deployment(NAME)
    docker("rmi", IMAGE)


def compose(project: Project, *arguments: str) -> str:
    """Run Compose as its user does, in the project's directory."""
    done = subprocess.run(
        ["docker", "compose", "--profile", "https", *arguments],
        cwd=project.root, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def start(project: Project, directory: Path) -> Path:
    """Start Caddy alone, without the API; return its authority's certificate."""
    compose(project, "up", "--detach", "--no-deps", "https")
    backend = ComposeBackend(project, print)
    for _ in polls(0.2, timeout=READY_SECONDS):
        lines = {line.name: line.state for line in backend.status().services}
        if lines["https"] is State.UP:
            break
    else:
        pytest.fail(compose(project, "logs", "https"))
    root = directory / "root.crt"
    source = "/data/caddy/pki/authorities/local/root.crt"
    root.write_text(docker("exec", f"{NAME}-https-1", "cat", source), encoding="utf-8")
    return root


@pytest.mark.docker
def test_certificates_survive_the_container(project: Project, tmp_path: Path) -> None:
    certificate = f"/data/caddy/certificates/local/{DOMAIN}/{DOMAIN}.crt"
    shown = []
    for _ in range(2):
        root = start(project, tmp_path)
        answer = ask(project.settings.https_port, "/info", root)
        assert (answer.status, title(answer)) == (503, "Service unavailable")
        shown.append(docker("exec", f"{NAME}-https-1", "cat", certificate))
        compose(project, "down")
    assert shown[0] == shown[1]


@pytest.mark.docker
@pytest.mark.parametrize(
    ("settings", "host"),
    [({}, "127.0.0.1"), ({"API_HOST": "0.0.0.0"}, "0.0.0.0"), ({"HTTPS_DOMAIN": ""}, None)],
    ids=["https", "asked for", "http"],
)
def test_with_https_plain_http_is_for_this_machine_unless_asked_for(
    project: Project, settings: dict[str, str], host: str | None
) -> None:
    before = project.env_file.read_bytes()
    project.set_environment(**settings)
    try:
        config: dict[str, Any] = yaml.safe_load(compose(project, "config"))
    finally:
        project.env_file.write_bytes(before)
        project.forget()
    assert config["services"]["api"]["ports"][0].get("host_ip") == host
    told = config["services"]["api"]["environment"]
    assert told["API_PUBLISHED"] == (host or "")
    ports = [told[name] for name in ("HTTPS_PORT", "HTTP_PORT")]
    assert told["PUBLISHED_PORTS"].endswith(",".join(ports)) is bool(told["HTTPS_DOMAIN"])
