"""kombu's transport to Redis, over connections as all other parts of denzel have them.

kombu's own Sentinel transport, its TLS and its Unix sockets would each be configured apart; here
the address is that of ``settings.redis``, whichever kind it is.
"""

from __future__ import annotations

from kombu.transport import redis as kombu_redis

from app.runtime.settings import load_settings
from app.runtime.store import connection_classes


class Channel(kombu_redis.Channel):
    """A channel whose connections lead to the Redis of this deployment."""

    connection_class = connection_classes.connection_class(load_settings().redis)


class Transport(kombu_redis.Transport):
    """What ``broker_transport`` names."""

    Channel = Channel
