"""A worker's connections to Redis, and the scripts it runs there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.exceptions import NoScriptError, RedisError

from app.runtime.store.lua_scripts import load_script, script_digest

Argument = str | bytes | float

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
IDLE_SECONDS = 25
"""Silence after which a connection is tried before it is used: what lies between may have
forgotten it."""


def connect(redis_url: str, *, answer_seconds: float = ANSWER_SECONDS) -> redis.Redis:
    """Return a client whose commands take so many seconds at most; it connects when used."""
    return redis.Redis.from_url(
        redis_url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        health_check_interval=IDLE_SECONDS,
    )


class ScriptRunner:
    """Runs the scripts of ``lua/`` for one thread, over one connection that is kept.

    A client looks its connection up, tries it and measures it for every command, which costs more
    than the command: 27 µs of processor time for 9.  Not to be used before a fork.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._connection: Any = None

    def __call__(self, name: str, *arguments: Argument) -> Any:
        """Run the script ``lua/NAME.lua``, which is sent once; return its answer.

        May raise RedisError.
        """
        if self._connection is None:
            self._connection = self._pool.get_connection()
        elif _was_lost(self._connection):
            self._connection.disconnect()  # it connects again when it is used
        return _run(self._connection, name, arguments)


def _was_lost(connection: Any) -> bool:
    """Tell whether Redis has closed a connection; nothing else is to be read there by now."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def _run(connection: Any, name: str, arguments: Sequence[Argument]) -> Any:
    connection.send_command("EVALSHA", script_digest(name), 0, *arguments)
    try:
        return connection.read_response()
    except NoScriptError:
        connection.send_command("EVAL", load_script(name), 0, *arguments)
        return connection.read_response()
