"""API_PREFIX, with the API's own application and no Redis."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from falcon.testing import TestClient

from app.runtime.api import app
from app.runtime.api.app import create_app
from app.runtime.api.page import routes
from app.runtime.settings import parse_settings

from ..template import TEMPLATE

KEYS = "shop:" + "0" * 64


@pytest.fixture(autouse=True)
def in_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the project's files where the API looks for them, and its state elsewhere."""
    monkeypatch.chdir(TEMPLATE)
    monkeypatch.setenv("DENZEL_RUN_DIR", str(tmp_path))


def status_of(path: str, **settings: str) -> int:
    """Return the status that GET of a path is answered with."""
    client = TestClient(create_app(parse_settings(settings)))
    return client.simulate_get(path, host="localhost").status_code


@pytest.mark.parametrize("path", ["/models/iris/info", "/models/iris/info/", "/info"])
def test_the_api_answers_with_the_prefix_and_without_it(path: str) -> None:
    assert status_of(path, API_PREFIX="/models/iris") == 200


@pytest.mark.parametrize(
    "path", ["/models/irisinfo", "/models/iris/models/iris/info", "/models/info", "/iris/info"]
)
def test_no_other_prefix_is_taken_off(path: str) -> None:
    assert status_of(path, API_PREFIX="/models/iris") == 404


def test_without_a_prefix_there_is_none() -> None:
    assert status_of("/models/iris/info") == 404


def test_a_path_of_the_api_itself_can_be_no_prefix() -> None:
    """Where the proxy cuts the prefix off, ``/predict/predict`` would be taken for ``/``."""
    for module in (app, routes):
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        for path in re.findall(r'add_route\("(/[^/"]+)', source):
            settings = parse_settings({"API_PREFIX": path})
            assert settings.conflict.startswith(f"API_PREFIX={path} is a path of the API itself")
    assert not parse_settings({"API_PREFIX": "/predict/iris"}).conflict


def test_what_needs_no_key_needs_none_under_the_prefix_and_nothing_else_does() -> None:
    assert status_of("/iris/info", API_PREFIX="/iris", API_KEYS=KEYS) == 200
    assert status_of("/iris/status/1", API_PREFIX="/iris", API_KEYS=KEYS) == 401
    assert status_of("/info/status/1", API_PREFIX="/info", API_KEYS=KEYS) == 401
