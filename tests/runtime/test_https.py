"""API and monitor behind Caddy with the project's own Caddyfile."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from caddy import DOMAIN, ask, needs_caddy, title

from .conftest import OBEDIENT
from .deployment import Deployment, deployed
from .ports import free_port

pytestmark = needs_caddy

CREDENTIALS = {"MONITOR_USER": "admin", "MONITOR_PASSWORD": "secret"}
CADDYFILE = "entrypoints/Caddyfile"


def start_caddy(deployment: Deployment, name: str, monitor: str) -> None:
    """Start Caddy; ``monitor`` is what the Caddyfile does about the monitoring page."""
    settings = deployment.environment
    told = {
        "HTTPS_PORT": str(free_port()),
        "HTTP_PORT": str(free_port()),
        "HTTPS_MONITOR": monitor,
        "MONITOR_PREFIX": "/monitor",
        "API_UPSTREAM": f"127.0.0.1:{settings['API_PORT']}",
        "MONITOR_UPSTREAM": f"127.0.0.1:{settings['MONITOR_PORT']}",
        "XDG_DATA_HOME": str(deployment.directory / name),
        "XDG_CONFIG_HOME": str(deployment.directory / name),
    }
    settings.update(told)
    caddy = shutil.which("caddy") or ""
    deployment.start(name, caddy, "run", "--config", CADDYFILE, "--adapter", "caddyfile")
    deployment.wait_for(name, root(deployment, name).exists)
    deployment.wait(lambda: answers(deployment, name), "Caddy has a certificate")


def root(deployment: Deployment, name: str = "caddy") -> Path:
    """Return the certificate of Caddy's own authority."""
    return deployment.directory / name / "caddy/pki/authorities/local/root.crt"


def answers(deployment: Deployment, name: str) -> bool:
    """Tell whether Caddy answers."""
    try:
        port = int(deployment.environment["HTTPS_PORT"])
        return ask(port, "/info", root(deployment, name)).status == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment behind Caddy; it has no worker."""
    settings = {"HTTPS_DOMAIN": DOMAIN, "HTTPS_CERTIFICATES": "internal", **CREDENTIALS}
    with deployed(tmp_path_factory.mktemp("secure"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_monitor(wait=False)
        deployment.start_api()
        deployment.wait_for("monitor", lambda: deployment.state("monitor")[0] == "UP")
        start_caddy(deployment, "caddy", "import monitor")
        yield deployment


def test_the_api_is_served_and_knows_the_client(secure: Deployment) -> None:
    port = int(secure.environment["HTTPS_PORT"])
    answer = ask(port, "/nothing", root(secure), headers={"X-Forwarded-For": "203.0.113.7"})
    assert (answer.status, title(answer)) == (404, "404 Not Found")
    log = secure.services["api"].log.read_text(encoding="utf-8")
    assert "GET /nothing: 404 Not Found from 127.0.0.1\n" in log  # not what the client claims


def test_a_page_of_the_domain_may_ask_and_no_other(secure: Deployment) -> None:
    port = int(secure.environment["HTTPS_PORT"])
    for origin, expected in (
        (f"https://{DOMAIN}:{port}", "Malformed JSON"),
        ("https://evil.example", "Foreign origin"),
    ):
        answer = ask(
            port, "/predict", root(secure), method="POST", body=b"no", headers={"Origin": origin}
        )
        assert title(answer) == expected


def test_the_monitor_is_served_to_those_who_have_its_credentials(secure: Deployment) -> None:
    port = int(secure.environment["HTTPS_PORT"])
    headers = urllib3.make_headers(basic_auth="admin:secret")
    for path in ("/monitor", "/monitor/", "/monitor/tasks", "/monitor/static/js/flower.js"):
        assert ask(port, path, root(secure), headers=headers).status == 200, path
    assert ask(port, "/monitor/tasks", root(secure)).status == 401
    assert b'href="/monitor/tasks"' in ask(port, "/monitor", root(secure), headers=headers).data
    assert title(ask(port, "/monitors", root(secure))) == "404 Not Found"


def test_plain_http_leads_to_https(secure: Deployment) -> None:
    port = int(secure.environment["HTTP_PORT"])
    with urllib3.HTTPConnectionPool("127.0.0.1", port) as pool:
        answer = pool.request("GET", "/info", headers={"Host": DOMAIN}, redirect=False)
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://{DOMAIN}/info"


def test_a_monitor_without_credentials_is_not_served(secure: Deployment) -> None:
    before = dict(secure.environment)
    start_caddy(secure, "caddy-alone", "")
    answer = ask(
        int(secure.environment["HTTPS_PORT"]), "/monitor/tasks", root(secure, "caddy-alone")
    )
    assert (answer.status, title(answer)) == (404, "404 Not Found")
    secure.services.pop("caddy-alone").kill()
    secure.environment.update(before)


def test_certificates_by_acme_are_the_default() -> None:
    """Without ``internal`` the Caddyfile asks for no authority of its own."""
    environment = {
        "PATH": os.environ["PATH"], "HTTPS_DOMAIN": DOMAIN, "HTTPS_CERTIFICATES": "acme",
        "HTTPS_MONITOR": "", "HTTPS_PORT": "443", "HTTP_PORT": "80",
        "API_UPSTREAM": "api:8000",
    }  # fmt: skip
    adapted = subprocess.run(
        ["caddy", "adapt", "--config", CADDYFILE, "--adapter", "caddyfile"],
        cwd=Path(__file__).parents[2] / "denzel/templates/project", env=environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert adapted.returncode == 0, adapted.stderr
    assert "internal" not in adapted.stdout
    assert DOMAIN in adapted.stdout
