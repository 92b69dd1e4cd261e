"""A Redis for tests of the callbacks alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from ..deployment import Deployment, deployed


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment of which Redis alone is started."""
    with deployed(tmp_path_factory.mktemp("alone"), None) as deployment:
        deployment.start_redis()
        yield deployment


@pytest.fixture
def client(alone: Deployment) -> Iterator[redis.Redis]:
    """Yield a client of an empty Redis."""
    client = redis.Redis.from_url(alone.environment["REDIS_URL"])
    client.flushall()
    yield client
    client.close()
