"""What the tests share: the image of a project, and that of the machines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from denzel.project import Project
from denzel.scaffold import start_project
from engine import docker, require_engine

from .nodes import build_node_image, build_release_image

IMAGE = "denzel-test-iris:1"
SLOWED = """

import time

_predict = predict
del predict_batch  # one at a time


def predict(model, data):
    time.sleep(0.15 * len(data[0]))  # a machine that is killed has requests at hand
    return _predict(model, data)
"""


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the project's image."""
    return IMAGE


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Project]:
    """The iris example, with an image that was built of it."""
    require_engine()
    build_node_image()
    parent = tmp_path_factory.mktemp("machines")
    project = start_project(parent, "iris_classifier", example="iris")
    with (project.root / "app/logic/pipeline.py").open("a", encoding="utf-8") as file:
        file.write(SLOWED)
    build_release_image(project.root, image)
    yield project
    docker("rmi", "--force", image)
