"""API and monitor behind a proxy that publishes them under paths of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

PROXY = "127.0.0.2"
FORWARDED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "models.example",
}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment without a worker, published under /iris by a proxy at PROXY."""
    settings = {
        "API_PREFIX": "/iris",
        "MONITOR_PREFIX": "/iris/monitor",
        "TRUSTED_PROXIES": PROXY,
        "ALLOWED_HOSTS": "models.example",
        "CORS_ORIGINS": "https://app.example",
        "CORS_CREDENTIALS": "1",
        "LOG_LEVEL": "debug",
    }
    with deployed(tmp_path_factory.mktemp("behind"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_monitor(wait=False)
        deployment.start_api()
        deployment.wait_for("monitor", lambda: deployment.state("monitor")[0] == "UP")
        yield deployment


@pytest.mark.parametrize("path", ["/iris/monitor", "/iris/monitor/", "/iris/monitor/tasks", "/"])
def test_the_monitors_pages_link_to_themselves_under_the_prefix(
    behind: Deployment, path: str
) -> None:
    page = requests.get(behind.monitor_url + path, timeout=10)
    assert page.status_code == 200
    links = re.findall(r'(?:href|src)="(/[^"]*)"', page.text)
    assert len(links) > 10
    for link in links:
        assert link.startswith("/iris/monitor/")
        # As it is behind a proxy that passes the path on, and behind one that cuts it off.
        for passed_on in (link, link.removeprefix("/iris/monitor")):
            answer = requests.get(behind.monitor_url + passed_on, timeout=10)
            assert answer.status_code == 200, passed_on


def test_a_prediction_is_to_be_asked_for_under_the_prefix(behind: Deployment) -> None:
    refusal = requests.post(
        f"{behind.url}/iris/predict", json={"value": 1}, headers={"Prefer": "wait=0"}, timeout=10
    ).json()
    assert f"/iris/status/{refusal['task_id']}" in refusal["description"]
    path = f"/iris/status/{refusal['task_id']}"
    assert requests.get(behind.url + path, timeout=10).status_code == 200


class From(HTTPAdapter):
    """Connects from a certain address of this machine."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Give the connections their source."""
        super().init_poolmanager(*arguments, **options, source_address=(self._address, 0))


def ask_from(address: str, method: str, url: str, **headers: str) -> requests.Response:
    """Send a request that is no JSON from an address of this machine, with forwarded headers."""
    with requests.Session() as session:
        session.mount("http://", From(address))
        return session.request(
            method, url, data=b"no JSON", headers={**FORWARDED, **headers}, timeout=10
        )


def test_the_log_names_the_client_whom_a_trusted_proxy_names_and_no_other(
    behind: Deployment,
) -> None:
    for address, path in ((PROXY, "/trusted"), ("127.0.0.1", "/forged")):
        assert ask_from(address, "GET", f"{behind.url}{path}").status_code == 404
    log = behind.services["api"].log.read_text(encoding="utf-8")
    assert "GET /trusted: 404 Not Found from 203.0.113.7\n" in log
    assert "GET /forged: 404 Not Found from 127.0.0.1\n" in log
    assert '203.0.113.7:0 - "GET /trusted HTTP/1.1" 404' in log  # the access log
    assert '203.0.113.7:0 - "GET /forged' not in log


@pytest.mark.parametrize("service", ["api", "monitor"])
def test_the_host_that_clients_used_is_the_one_a_trusted_proxy_names_and_no_other(
    behind: Deployment, service: str
) -> None:
    """A page of the published origin may ask, although the proxy says Host: 127.0.0.1."""
    url = behind.url + "/predict"
    if service == "monitor":
        url = behind.monitor_url + "/iris/monitor/api/task/revoke/some-id"
    ask = {"Origin": "https://models.example", "Host": "127.0.0.1"}
    allowed = ask_from(PROXY, "POST", url, **ask)
    assert "rigin" not in allowed.text
    refused = ask_from("127.0.0.1", "POST", url, **ask)
    assert refused.status_code == 403
    assert "rigin" in refused.text
    unknown = ask_from(PROXY, "POST", url, **{**ask, "X-Forwarded-Host": "evil.example"})
    assert unknown.status_code == 403
    assert "ALLOWED_HOSTS" in unknown.text
    # A page that was loaded from there, in a browser where the proxy runs, could send the same.
    url = behind.url + "/info" if service == "api" else behind.monitor_url
    rebound = ask_from(PROXY, "GET", url, Host="evil.example")
    assert rebound.status_code == 403
    assert "ALLOWED_HOSTS" in rebound.text


@pytest.mark.parametrize("origin", ["https://app.example", "https://evil.example", ""])
def test_a_page_that_may_ask_may_read_why_the_server_refused_its_request(
    behind: Deployment, origin: str
) -> None:
    """A browser hides the answer to a body that is too large unless it says who may read it."""
    headers = {"Origin": origin} if origin else {}
    answer = requests.post(
        f"{behind.url}/predict", data=b"x" * (17 * 2**20), headers=headers, timeout=30
    )
    assert answer.status_code == 413
    shared = {
        "access-control-allow-origin": "https://app.example",
        "access-control-allow-credentials": "true",
        "vary": "Origin",
    }
    found = {name: answer.headers[name] for name in shared if name in answer.headers}
    assert found == (shared if origin == "https://app.example" else {})
