"""The services' connections to Redis."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest
import redis

from app.runtime.settings import RedisAddress, parse_redis_url
from app.runtime.store.client import ScriptRunner, connect, connect_async

from ..deployment import Deployment, deployed


def test_nothing_is_connected_before_it_is_needed(tmp_path: Path) -> None:
    connect(parse_redis_url(f"unix://{tmp_path}/none.sock")).close()


def test_a_script_is_sent_again_once_redis_has_forgotten_it(
    redis_server: Deployment, client: redis.Redis
) -> None:
    mine = connect(redis_server.redis)
    run = ScriptRunner(mine)
    for _ in range(2):
        assert run("renew_lease", "holder", 30) == [[], []]
        client.script_flush()
    mine.close()


def test_a_script_is_run_on_a_redis_that_was_started_anew(tmp_path: Path) -> None:
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        client = connect(deployment.redis)
        run = ScriptRunner(client)
        for _ in range(2):
            assert run("renew_lease", "holder", 30) == [[], []]
            deployment.services.pop("redis").kill()
            deployment.start_redis()
        client.close()


def test_a_late_answer_is_not_taken_for_the_next_script_s(tmp_path: Path) -> None:
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        client = connect(deployment.redis, answer_seconds=0.2)
        run = ScriptRunner(client)
        run("renew_lease", "holder", 30)
        deployment.services["redis"].signal(signal.SIGSTOP)
        with pytest.raises(redis.exceptions.TimeoutError):
            run("renew_lease", "holder", 30)
        deployment.services["redis"].signal(signal.SIGCONT)
        deployment.wait(client.ping, "Redis answers again", 10)
        assert run("requeue", "holder", 0, "") == 0
        client.close()


def test_redis_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        client = connect(deployment.redis, answer_seconds=0.2)
        client.ping()
        deployment.services["redis"].signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(redis.exceptions.TimeoutError):
            client.ping()
        assert time.monotonic() - started < 10
        deployment.services["redis"].signal(signal.SIGCONT)
        client.close()


async def _cancel_at_each_step(address: RedisAddress) -> list[int]:
    """Cancel a command after 0, 1, 2 ... turns of the event loop; return where it went on."""
    client = connect_async(address, answer_seconds=5.0)
    went_on, turns, has_ended = [], 0, False
    while not has_ended:
        await client.ping()
        command = asyncio.ensure_future(client.echo(str(turns)))
        for _ in range(turns):
            await asyncio.sleep(0)
        has_ended = not command.cancel()
        await asyncio.wait([command])
        if not has_ended and not command.cancelled():
            went_on.append(turns)
        turns += 1
        assert await client.echo("mine") == b"mine"
    await client.aclose()
    return went_on


def test_a_command_can_be_cancelled_at_any_moment(redis_server: Deployment) -> None:
    assert asyncio.run(_cancel_at_each_step(redis_server.redis)) == []
