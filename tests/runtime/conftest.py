"""Deployments that the tests of the runtime share."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator

import pytest
import redis
from hypothesis import settings

from .deployment import Deployment, deployed
from .receiver import Receiver
from .template import PIPELINES, TEMPLATE

# The runtime's one import root is the project directory.
sys.path.insert(0, str(TEMPLATE))

settings.register_profile("runtime", database=None, deadline=None)
settings.load_profile("runtime")

OBEDIENT = (PIPELINES / "obedient.py").read_text(encoding="utf-8")
SECRET = "whsec_" + base64.b64encode(b"the studio's own secret, 24 bytes").decode()
LOAD_SECONDS = 5.0
"""More than the 4 s after which Celery by itself gives up a starting process."""


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a running deployment of the obedient pipeline: all services, three API processes.

    It answers synchronously; a test that changes that restores it.
    """
    settings = {
        "API_WORKERS": "3",
        "WORKER_CONCURRENCY": "2",
        "CALLBACK_TIMEOUT": "1",
        "FLOWER_UNAUTHENTICATED_API": "true",
        "TEST_LOAD_SECONDS": str(LOAD_SECONDS),
    }
    with deployed(tmp_path_factory.mktemp("lab"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_monitor(wait=False)
        deployment.start_api()
        deployment.start_callbacks()
        deployment.wait_for_worker()
        yield deployment


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a running deployment that takes files and answers with files."""
    pipeline = (PIPELINES / "files.py").read_text(encoding="utf-8")
    settings = {"CALLBACK_SECRET": SECRET}
    with deployed(tmp_path_factory.mktemp("studio"), pipeline, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.start_callbacks()
        deployment.wait_for_worker()
        yield deployment


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Yield a real HTTP server that gets callbacks."""
    server = Receiver()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment of which only Redis runs."""
    with deployed(tmp_path_factory.mktemp("redis"), None) as deployment:
        deployment.start_redis()
        yield deployment


@pytest.fixture
def client(redis_server: Deployment) -> Iterator[redis.Redis]:
    """Yield a client of an empty Redis."""
    with redis.Redis(unix_socket_path=str(redis_server.redis_socket)) as client:
        client.flushall()
        yield client
        client.config_set("maxmemory", 0)
