"""API and monitor behind a proxy that publishes them under paths of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment that is published under /iris and /iris/monitor; it has no worker."""
    settings = {"API_PREFIX": "/iris", "MONITOR_PREFIX": "/iris/monitor"}
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
