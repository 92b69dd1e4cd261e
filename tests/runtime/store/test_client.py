"""A worker's connections to Redis."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import redis

from app.runtime.store.client import connect, script

from ..deployment import Deployment, deployed


def test_nothing_is_connected_before_it_is_needed(tmp_path: Path) -> None:
    connect(f"unix://{tmp_path}/none.sock").close()


def test_a_script_is_sent_again_once_redis_has_forgotten_it(
    redis_server: Deployment, client: redis.Redis
) -> None:
    mine = connect(redis_server.environment["REDIS_URL"])
    renew = script(mine, "heartbeat")
    for _ in range(2):
        assert renew(args=["holder", 30]) == [[], []]
        client.script_flush()
    mine.close()


def test_redis_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        client = connect(deployment.environment["REDIS_URL"], answer_seconds=0.2)
        client.ping()
        deployment.services["redis"].signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(redis.exceptions.TimeoutError):
            client.ping()
        assert time.monotonic() - started < 10
        deployment.services["redis"].signal(signal.SIGCONT)
        client.close()
