"""What the settings make of the address policy."""

from __future__ import annotations

import pytest

from app.runtime.callbacks.networks import host_addresses
from app.runtime.callbacks.policy import deployment_policy
from app.runtime.callbacks.uri import ForbiddenDestination
from app.runtime.settings import parse_settings

CONTAINER = {
    "DENZEL_BACKEND": "docker", "API_PORT": "8000", "MONITOR_PORT": "5555",
    "PUBLISHED_PORTS": "8123,5666",
}  # fmt: skip


@pytest.mark.parametrize("port", [8123, 5666])
def test_in_a_container_the_published_ports_of_the_host_are_forbidden(port: int) -> None:
    policy = deployment_policy(parse_settings(CONTAINER))
    with pytest.raises(ForbiddenDestination, match="a service of this deployment"):
        policy.check_uri(f"http://host.docker.internal:{port}/")
    for address in host_addresses([]):
        with pytest.raises(ForbiddenDestination, match="a service of this deployment"):
            policy.check_address(address, port)


def test_in_a_container_another_port_of_the_host_is_allowed() -> None:
    policy = deployment_policy(parse_settings(CONTAINER))
    assert policy.check_uri("http://host.docker.internal:8000/").port == 8000


def test_with_local_processes_the_services_own_ports_are_forbidden() -> None:
    policy = deployment_policy(parse_settings({"API_PORT": "8123", "MONITOR_PORT": "5666"}))
    for port in (8123, 5666):
        with pytest.raises(ForbiddenDestination, match="a service of this deployment"):
            policy.check_uri(f"http://127.0.0.1:{port}/")
    assert policy.check_uri("http://127.0.0.1:8000/").port == 8000
