"""Clients of Redis, and the scripts that a worker runs there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import NoScriptError, RedisError

from app.runtime.settings import RedisAddress
from app.runtime.store.connection_classes import (
    async_connection_class,
    connection_class,
    pool_arguments,
)
from app.runtime.store.lua_scripts import Argument, load_script, script_digest

CONNECT_SECONDS = 5.0
ASYNC_CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 30.0
IDLE_SECONDS = 25
"""Silence after which a connection is tried before it is used: what lies between may have
forgotten it."""


def connect(address: RedisAddress, *, answer_seconds: float = ANSWER_SECONDS) -> redis.Redis:
    """Return a client whose commands take so many seconds at most; it connects when used."""
    arguments = pool_arguments(
        address, connection_class(address), socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds, health_check_interval=IDLE_SECONDS,
    )  # fmt: skip
    return redis.Redis.from_pool(redis.ConnectionPool(**arguments))


def connect_async(
    address: RedisAddress, *, answer_seconds: float, most: int | None = None
) -> redis.asyncio.Redis:
    """Return a client for asyncio, as :func:`connect` does; it waits for one of ``most``."""
    arguments = pool_arguments(
        address, async_connection_class(address), socket_connect_timeout=ASYNC_CONNECT_SECONDS,
        socket_timeout=answer_seconds, health_check_interval=IDLE_SECONDS,
    )  # fmt: skip
    if most is None:
        return redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool(**arguments))
    pool = redis.asyncio.BlockingConnectionPool(max_connections=most, timeout=None, **arguments)
    return redis.asyncio.Redis.from_pool(pool)


def database_of(client: redis.Redis | redis.asyncio.Redis) -> int:
    """Return the number of the database that a client speaks to."""
    return int(client.connection_pool.connection_kwargs.get("db") or 0)


class ScriptRunner:
    """Runs the scripts of ``lua/`` for one thread, over one connection that is kept.

    A client looks its connection up, tries it and measures it for every command, which costs more
    than the command: 27 µs of processor time for 9.  Not to be used before a fork.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._database = str(database_of(client))
        self._connection: Any = None

    def __call__(self, name: str, *arguments: Argument) -> Any:
        """Run the script ``lua/NAME.lua``, which is sent once; return its answer.

        May raise RedisError.
        """
        if self._connection is None:
            self._connection = self._pool.get_connection()
        elif _was_lost(self._connection):
            self._connection.disconnect()  # it connects again when it is used
        # What a script's channels end in: unlike keys, they are common to all databases.
        return _run(self._connection, name, (1, self._database, *arguments))


def _was_lost(connection: Any) -> bool:
    """Tell whether Redis has closed a connection; nothing else is to be read there by now."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def _run(connection: Any, name: str, arguments: Sequence[Argument]) -> Any:
    connection.send_command("EVALSHA", script_digest(name), *arguments)
    try:
        return connection.read_response()
    except NoScriptError:
        connection.send_command("EVAL", load_script(name), *arguments)
        return connection.read_response()
