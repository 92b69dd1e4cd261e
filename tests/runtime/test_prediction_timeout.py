"""Predictions that take longer than they may."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

PREDICTION_TIMEOUT = 2


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment whose predictions may take two seconds."""
    settings = {"PREDICTION_TIMEOUT": str(PREDICTION_TIMEOUT)}
    with deployed(tmp_path_factory.mktemp("hasty"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        deployment.wait(lambda: deployment.predict({"value": 1}).ok, "predictions are answered")
        yield deployment


def test_a_prediction_that_takes_too_long_fails_and_its_process_goes_on(
    hasty: Deployment,
) -> None:
    before = hasty.predict({"do": "whoami", "seconds": 0}, Prefer="wait=20").json()["pid"]
    answer = hasty.predict({"do": "sleep", "seconds": 60}, Prefer="wait=20")
    assert answer.status_code == 500
    assert "PredictionTooLong: the prediction took longer than 2 s" in answer.json()["description"]
    failed = hasty.final_status(hasty.accept({"do": "sleep", "seconds": 60}))
    assert (failed["status"], failed["result"]["type"]) == ("FAILURE", "PredictionTooLong")
    assert hasty.predict({"do": "sleep", "seconds": 1}, Prefer="wait=20").status_code == 200
    after = hasty.predict({"do": "whoami", "seconds": 0}, Prefer="wait=20").json()["pid"]
    assert after == before


def test_of_a_group_only_the_one_that_takes_too_long_fails(hasty: Deployment) -> None:
    busy = hasty.accept({"do": "sleep", "seconds": 1})
    hasty.wait_until_begun(busy)
    bodies = [{"value": 0}, {"do": "sleep", "seconds": 60}, {"value": 2}, {"value": 3}]
    with ThreadPoolExecutor(4) as clients:
        ids = list(clients.map(hasty.accept, bodies))
    states = [hasty.final_status(task_id)["status"] for task_id in ids]
    assert states == ["SUCCESS", "FAILURE", "SUCCESS", "SUCCESS"]
    assert hasty.final_status(busy)["status"] == "SUCCESS"


def test_one_that_cannot_be_interrupted_is_ended_and_the_worker_lives_on(
    hasty: Deployment,
) -> None:
    stubborn = {"do": "never give in", "seconds": 120}
    began = time.monotonic()
    answer = hasty.predict(stubborn, Prefer="wait=50")
    assert answer.status_code == 500
    assert "PredictionTooLong" in answer.json()["description"]
    assert time.monotonic() - began > 9  # it is given time to end by itself
    # In one batch with others, which it takes along.
    hasty.wait_until_begun(hasty.accept({"do": "sleep", "seconds": 1}))
    bodies = [stubborn, {"value": 1}, {"value": 2}]
    with ThreadPoolExecutor(3) as clients:
        ids = list(clients.map(hasty.accept, bodies))
    states = [hasty.final_status(task_id, 60)["status"] for task_id in ids]
    assert states == ["FAILURE", "SUCCESS", "SUCCESS"]
