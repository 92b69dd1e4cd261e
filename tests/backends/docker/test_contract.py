"""The contract of all backends, kept by containers on a real engine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from backends.contract import BackendContract, write_probe
from denzel.backends.base import Backend
from denzel.backends.docker.backend import ComposeBackend
from denzel.ports import free_port
from denzel.scaffold import start_project
from denzel.services import number_of, service_of
from engine import crash, docker, end_deployment, left_behind, require_engine
from port_range import FIRST_PORT

pytestmark = pytest.mark.docker

NAME = f"contract-{os.getpid()}"
KEPT_IMAGE = f"{NAME}-redis:8"
"""A second name of Redis's image: what a purge does with it is no harm to other tests."""


@pytest.fixture(scope="module")
def reported() -> list[str]:
    return []


@pytest.fixture(scope="module")
def backend(
    tmp_path_factory: pytest.TempPathFactory, reported: list[str]
) -> Iterator[ComposeBackend]:
    require_engine()
    project = start_project(tmp_path_factory.mktemp("contract"), NAME)
    write_probe(project)
    api = free_port(FIRST_PORT)
    docker("tag", project.settings.redis_image, KEPT_IMAGE)
    project.set_environment(
        API_PORT=str(api), MONITOR_PORT=str(free_port(api + 1)), REDIS_IMAGE=KEPT_IMAGE
    )
    yield ComposeBackend(project, reported.append)
    end_deployment(NAME)
    docker("rmi", KEPT_IMAGE)


class TestComposeBackend(BackendContract):
    def crash(self, backend: Backend, service: str) -> None:
        # `docker kill` would count as a stop that was wanted; a dead main process does not.
        crash(f"{NAME}-{service_of(service)}-{number_of(service)}")

    def test_nothing_is_left_behind(self, backend: Backend) -> None:
        assert left_behind(NAME) == []

    def test_an_image_that_was_not_built_here_stays(self, backend: Backend) -> None:
        assert docker("images", "--quiet", KEPT_IMAGE) != ""
