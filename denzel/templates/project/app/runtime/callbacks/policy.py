"""Where this deployment's callbacks may go."""

from __future__ import annotations

from app.runtime.callbacks.destinations import DestinationPolicy, own_networks, parse_allow
from app.runtime.settings import Settings


def deployment_policy(settings: Settings) -> DestinationPolicy:
    """Return the policy the settings ask for; raises ValueError for a bad CALLBACK_ALLOW.

    In containers the deployment's own network is forbidden, and with it every service.  With
    local processes loopback is allowed, since that is where a laptop's receiver is, but for
    the ports of the deployment itself.
    """
    hosts, networks = parse_allow(settings.callback_allow)
    if settings.in_container:
        return DestinationPolicy(
            deny_networks=own_networks(), allow_hosts=hosts, allow_networks=networks
        )
    return DestinationPolicy(
        allow_hosts=hosts,
        allow_networks=networks,
        allow_loopback=True,
        own_ports=frozenset({settings.api_port, settings.monitor_port}),
    )
