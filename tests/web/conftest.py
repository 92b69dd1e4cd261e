"""Deployments that these tests share, and a browser."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from runtime.deployment import Deployment, deployed
from runtime.template import TEMPLATE

from .browser import NO_BROWSER, find_browser, launched

# The runtime's one import root is the project directory.
sys.path.insert(0, str(TEMPLATE))

PIPELINES = Path(__file__).parent / "pipelines"
KEY = "dz_the-pages-key"


@contextmanager
def serving(
    factory: pytest.TempPathFactory,
    name: str,
    *,
    callbacks: bool,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Deployment]:
    """Yield a running deployment of the pipeline called ``name``."""
    pipeline = (PIPELINES / f"{name}.py").read_text(encoding="utf-8")
    with deployed(factory.mktemp(name), pipeline, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        if callbacks:
            deployment.start_callbacks()
        deployment.start_api()
        deployment.wait_for_worker()
        yield deployment


@pytest.fixture(scope="session")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a running deployment that describes its requests and answers.

    It delivers no callbacks: the tests make up receivers.
    """
    with serving(tmp_path_factory, "flowers", callbacks=False) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a running deployment that takes images, and asks for a key."""
    settings = {"API_KEYS": f"page:{hashlib.sha256(KEY.encode()).hexdigest()}"}
    with serving(tmp_path_factory, "images", callbacks=True, settings=settings) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a running deployment that takes images as they are, and answers with images."""
    with serving(tmp_path_factory, "pictures", callbacks=True) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a running deployment that answers in pieces."""
    with serving(tmp_path_factory, "words", callbacks=False) as deployment:
        yield deployment


@pytest.fixture(scope="module")  # while it runs, asyncio.run fails in other tests
def browser() -> Iterator[Browser]:
    """Yield a browser; skips where there is none."""
    program = find_browser()
    if program is None:
        pytest.skip(NO_BROWSER)
    with launched(program) as running:
        yield running
