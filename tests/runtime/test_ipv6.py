"""API and monitor at addresses of IPv6."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

CREDENTIALS = {"MONITOR_USER": "admin", "MONITOR_PASSWORD": "secret"}


def has_ipv6() -> bool:
    """Tell whether this machine has an IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture(scope="module", params=["::1", "::"])
def six(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Yield a deployment without a worker whose API and monitor listen on an IPv6 address."""
    settings = {"API_HOST": request.param, "MONITOR_HOST": request.param, **CREDENTIALS}
    with deployed(tmp_path_factory.mktemp("six"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_api(wait=False)
        deployment.start_monitor(wait=False)
        deployment.wait_for("api", lambda: deployment.state("api")[0] == "UP")
        deployment.wait_for("monitor", lambda: deployment.state("monitor")[0] == "UP")
        yield deployment


def test_both_answer_there(six: Deployment) -> None:
    everywhere = six.environment["API_HOST"] == "::"
    for host in ["[::1]", "127.0.0.1"] if everywhere else ["[::1]"]:
        api = f"http://{host}:{six.environment['API_PORT']}/info"
        monitor = f"http://{host}:{six.environment['MONITOR_PORT']}/workers"
        assert requests.get(api, timeout=10).status_code == 200
        assert requests.get(monitor, auth=("admin", "secret"), timeout=10).status_code == 200


def test_the_health_check_finds_them(six: Deployment) -> None:
    for name in ("api", "monitor"):
        check = six.run("-m", "app.runtime.health", name)
        assert (check.returncode, check.stdout) == (0, "")
    six.services["monitor"].kill()
    check = six.run("-m", "app.runtime.health", "monitor")
    assert "does not answer on port" in check.stdout
