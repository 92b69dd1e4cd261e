"""Outcomes of synchronous requests are written together, on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from app.runtime.api.keeper import KEEP_BYTES, KEEP_LIMIT, Keeper

from .deployment import Deployment, deployed


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "project", None) as deployment:
        deployment.start_redis()
        yield deployment


@pytest.fixture
def client(deployment: Deployment) -> Iterator[Any]:  # redis-py's own types are too wide
    with redis.Redis(unix_socket_path=str(deployment.redis_socket)) as client:
        yield client


def keep(deployment: Deployment, outcomes: dict[str, bytes]) -> None:
    """Have outcomes written by a keeper that is stopped."""

    async def keep_all() -> None:
        async with redis.asyncio.from_url(deployment.environment["REDIS_URL"]) as client:
            keeper = Keeper(client)
            await keeper.start()
            for key, outcome in outcomes.items():
                keeper.note(key, len(outcome))
            await keeper.stop()

    asyncio.run(keep_all())


def unwritten(client: Any, outcomes: dict[str, bytes]) -> None:
    """Store outcomes as a worker does."""
    for key, outcome in outcomes.items():
        client.eval(
            "redis.set_repl(redis.REPL_NONE) redis.call('SET', ARGV[1], ARGV[2], 'EX', 600)",
            0, key, outcome,
        )  # fmt: skip
    client.config_resetstat()


@pytest.mark.parametrize(
    ("count", "size", "commands"),
    [
        (1, 10, 1),
        (2 * KEEP_LIMIT + 1, 10, 3),
        (8, KEEP_BYTES // 2, 4),
        (3, KEEP_BYTES + 1, 3),
    ],
)
def test_few_commands_write_them_and_none_writes_much(
    deployment: Deployment, client: Any, count: int, size: int, commands: int
) -> None:
    outcomes = {f"outcome-{number}": b"x" * size for number in range(count)}
    unwritten(client, outcomes)
    keep(deployment, outcomes)
    assert client.info("commandstats")["cmdstat_eval"]["calls"] == commands
    deployment.services.pop("redis").kill()
    deployment.start_redis()
    assert client.mget(list(outcomes)) == list(outcomes.values())
