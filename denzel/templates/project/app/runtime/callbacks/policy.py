"""Where this deployment's callbacks may go."""

from __future__ import annotations

from app.runtime.callbacks.addresses import HOST_NAMES, AddressPolicy, parse_allow
from app.runtime.callbacks.networks import host_addresses, own_networks
from app.runtime.settings import Settings


def deployment_policy(settings: Settings) -> AddressPolicy:
    """Return the policy the settings ask for; raises ValueError for a bad CALLBACK_ALLOW.

    In containers the deployment's own network is forbidden, and with it every service; so are the
    ports that they are published on at the machine's addresses.  With local processes loopback is
    allowed, since that is where a laptop's receiver is, but for the ports of the deployment itself.
    """
    hosts, networks = parse_allow(settings.callback_allow)
    if settings.in_container:
        return AddressPolicy(
            deny_networks=own_networks(),
            allow_hosts=hosts,
            allow_networks=networks,
            own_ports=frozenset(settings.published_ports),
            host_addresses=host_addresses(HOST_NAMES),
        )
    return AddressPolicy(
        allow_hosts=hosts,
        allow_networks=networks,
        allow_loopback=True,
        own_ports=frozenset({settings.api_port, settings.monitor_port} | _caddy_ports(settings)),
    )


def _caddy_ports(settings: Settings) -> set[int]:
    return {settings.https_port, settings.http_port} if settings.https_domain else set()
