"""A worker's connections to Redis, and the scripts it runs there."""

from __future__ import annotations

from typing import Any

import redis

from app.runtime.store.lua_scripts import load_script

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


def script(client: redis.Redis, name: str) -> Any:
    """Return the script ``lua/NAME.lua``, to be called with ``args``; it is sent once.

    Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
    """
    return client.register_script(load_script(name))
