"""An API process's side of the queues, on an empty Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from ..deployment import Deployment
from ..queues import Api


@pytest.fixture
def api(redis_server: Deployment, client: redis.Redis) -> Iterator[Api]:
    """Yield the API process called ``api``."""
    process = Api(redis_server.environment["REDIS_URL"])
    yield process
    process.close()
