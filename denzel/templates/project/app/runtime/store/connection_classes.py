"""Connection classes that have redis-py, and kombu above it, connect as ``redis_socket.py`` does.

A connection class is all that a pool of redis-py's needs for it.  Each time it connects it asks
anew where the master is, so a failover is followed by connecting again.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import redis.asyncio.connection
import redis.connection
from redis.exceptions import ConnectionError, ReadOnlyError
from redis.maint_notifications import MaintNotificationsConfig

from app.runtime.redis_socket import connect, open_socket, tls_context
from app.runtime.settings import RedisAddress

CONNECT_SECONDS = 2.0
DEMOTED = "Redis is a replica now: the master has changed"


def pool_arguments(
    address: RedisAddress, connection_class: type[Any], **options: Any
) -> dict[str, Any]:
    """Return what a connection pool of redis-py is made with."""
    return {
        "connection_class": connection_class,
        "username": address.username or None,
        "password": address.password or None,
        "db": address.database,
        **options,
    }


def connection_class(address: RedisAddress) -> type[redis.connection.Connection]:
    """Return the class of blocking connections to this address."""

    class DeploymentConnection(redis.connection.Connection):
        """A connection to the Redis of this deployment."""

        def __init__(self, **options: Any) -> None:
            options.setdefault(
                "maint_notifications_config", MaintNotificationsConfig(enabled=False)
            )
            super().__init__(**options)  # type: ignore[no-untyped-call]

        def _connect(self) -> socket.socket:
            connected = open_socket(address, self.socket_connect_timeout or CONNECT_SECONDS)
            connected.settimeout(self.socket_timeout)
            return connected

        def _host_error(self) -> str:
            return str(address)

        def read_response(self, *arguments: Any, **options: Any) -> Any:
            try:
                return super().read_response(*arguments, **options)
            except ReadOnlyError as error:
                self.disconnect()  # type: ignore[no-untyped-call]
                raise ConnectionError(DEMOTED) from error

    return DeploymentConnection


def async_connection_class(address: RedisAddress) -> type[redis.asyncio.connection.Connection]:
    """Return the class of asyncio's connections to this address."""

    class AsyncDeploymentConnection(redis.asyncio.connection.Connection):
        """A connection to the Redis of this deployment."""

        def __init__(self, **options: Any) -> None:
            options.setdefault(
                "maint_notifications_config", MaintNotificationsConfig(enabled=False)
            )
            super().__init__(**options)

        async def _connect(self) -> None:
            async with asyncio.timeout(self.socket_connect_timeout or CONNECT_SECONDS):
                arguments = await connected_socket(address)
                if address.socket_path:
                    opened = await asyncio.open_unix_connection(**arguments)
                else:
                    opened = await asyncio.open_connection(**arguments)
            self._reader, self._writer = opened

        def _host_error(self) -> str:
            return str(address)

        async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
            """Send a command; raise CancelledError also if that came as the sending ended.

            redis-py sends within ``asyncio.wait_for``, which loses such a cancellation in Python
            3.11 (github.com/python/cpython/issues/86296): who cancelled would wait for ever.
            """
            task = asyncio.current_task()
            assert task is not None
            cancelled_before = task.cancelling()
            await super().send_packed_command(*arguments, **options)
            if task.cancelling() > cancelled_before:
                await self.disconnect(nowait=True)  # the command's reply would be the next one's
                raise asyncio.CancelledError

        async def read_response(self, *arguments: Any, **options: Any) -> Any:
            try:
                return await super().read_response(*arguments, **options)
            except ReadOnlyError as error:
                await self.disconnect()
                raise ConnectionError(DEMOTED) from error

    return AsyncDeploymentConnection


async def connected_socket(address: RedisAddress) -> dict[str, Any]:
    """Return what asyncio makes a connection of: a socket, and how TLS is spoken over it.

    Sentinels and names are asked in a thread.
    """
    loop = asyncio.get_running_loop()
    connected, host = await loop.run_in_executor(None, connect, address, CONNECT_SECONDS)
    try:
        connected.setblocking(False)
        context = tls_context(address)
    except BaseException:
        connected.close()
        raise
    return {"sock": connected, "ssl": context, "server_hostname": host if context else None}
