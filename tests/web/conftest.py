"""Deployments that these tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.deployment import TEMPLATE, Deployment, deployed

# The runtime's one import root is the project directory.
sys.path.insert(0, str(TEMPLATE))

FLOWERS = (Path(__file__).parent / "pipelines" / "flowers.py").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a running deployment that describes its requests and answers.

    It delivers no callbacks: the tests make up receivers.
    """
    with deployed(tmp_path_factory.mktemp("flowers"), FLOWERS) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        yield deployment
