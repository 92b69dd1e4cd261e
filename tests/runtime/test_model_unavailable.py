"""While no worker has its model, synchronous requests are refused at once, others accepted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from .deployment import Deployment, deployed

PIPELINE = """
import os
import time
from pathlib import Path


def verify_input(json_data):
    return json_data


def load_model():
    while not Path("may_load").exists():
        time.sleep(0.02)
    if Path("may_load").read_text() == "no":
        raise OSError("no such model")


def process(model, json_data):
    return json_data


def predict(model, data):
    return {"value": data["value"]}
"""


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Deployment]:
    """Yield a deployment whose worker loads its model when ``may_load`` says so."""
    with deployed(tmp_path, PIPELINE, {"RECOVERY_SECONDS": "5"}) as deployment:
        deployment.start_redis()
        deployment.start_api()
        deployment.start_worker_unready()
        deployment.wait(lambda: refusal(deployment) is not None, "the API knows of the worker")
        yield deployment


def refusal(deployment: Deployment) -> requests.Response | None:
    """Return the answer to a synchronous request if it is 503."""
    answer = deployment.predict({"value": 1}, Prefer="wait=1")
    return answer if answer.status_code == 503 else None


def ready(deployment: Deployment, method: str = "GET", **headers: str) -> requests.Response:
    """Ask whether the deployment is ready, under a name no page of its own has."""
    headers = {"Host": "probe.example", **headers}
    return requests.request(
        method, f"{deployment.url}/health/ready", headers=headers, timeout=10
    )  # fmt: skip


def test_a_model_that_is_being_loaded_then_fails_then_is_there(gated: Deployment) -> None:
    began = time.monotonic()
    answer = gated.predict({"value": 1}, Prefer="wait=60")
    keyed = gated.predict({"value": 1}, Prefer="wait=60", **{"Idempotency-Key": str(uuid4())})
    assert time.monotonic() - began < 20
    assert answer.json() == {
        "title": "Model unavailable", "description": "The model is being loaded",
    }  # fmt: skip
    assert int(answer.headers["Retry-After"]) > 0
    assert keyed.status_code == 503

    found = ready(gated, Host="localhost")
    assert found.status_code == ready(gated, "HEAD").status_code == 503
    assert found.json() == {
        "title": "Not ready", "ready": False, "description": "The model is being loaded",
        "redis": "UP", "workers": [{"name": "worker@lab", "state": "LOADING", "detail": ""}],
    }  # fmt: skip

    accepted = gated.predict({"value": 2}, Prefer="respond-async")
    assert accepted.json().keys() == {"status", "data"}
    assert accepted.headers["Denzel-Model"] == "LOADING"

    (gated.directory / "may_load").write_text("no", encoding="utf-8")
    gated.wait(lambda: gated.state("worker")[0] == "ERROR", "loading fails")
    refused = refusal(gated)
    assert refused is not None
    reason = "The model could not be loaded: load_model raised OSError: no such model"
    assert refused.json()["description"] == reason
    assert ready(gated, Host="localhost").json()["description"] == reason
    assert ready(gated).json()["description"] == "No worker has its model"
    assert gated.predict({"value": 3}, Prefer="respond-async").headers["Denzel-Model"] == "ERROR"

    (gated.directory / "may_load").write_text("yes", encoding="utf-8")
    gated.services["denzel"].kill()
    gated.start_worker()
    # UP is told to the API before anybody else can read it.
    assert gated.predict({"value": 4}).json() == {"value": 4}
    assert ready(gated).status_code == ready(gated, "HEAD").status_code == 200
    worker = {"name": "worker@lab", "state": "UP", "detail": ""}
    assert ready(gated).json() == {"ready": True, "redis": "UP", "workers": [worker]}
    assert gated.final_status(accepted.json()["data"]["task_id"])["result"] == {"value": 2}
    assert "Denzel-Model" not in gated.predict({"value": 5}, Prefer="respond-async").headers


def test_a_worker_that_has_its_model_is_enough(gated: Deployment) -> None:
    (gated.directory / "may_load").write_text("yes", encoding="utf-8")
    gated.wait_for_worker()
    (gated.directory / "may_load").unlink()
    first = gated.services["denzel"]
    # By its name, it is no successor of the first.
    gated.environment["PROJECT_NAME"] = "elsewhere"
    second = gated.start_worker_unready()
    gated.wait(lambda: gated.state("worker")[0] == "LOADING...", "the second one loads")
    assert gated.predict({"value": 1}).json() == {"value": 1}
    first.kill()
    # What the first one told is believed for as long as its lease lasts.
    gated.wait(lambda: refusal(gated) is not None, "only the second one is left", 20)
    second.kill()


def test_without_a_word_of_any_worker_requests_wait_for_one(gated: Deployment) -> None:
    (gated.directory / "may_load").write_text("yes", encoding="utf-8")
    gated.wait_for_worker()
    worker = gated.services["denzel"]
    worker.process.terminate()
    worker.process.wait(20)
    assert gated.predict({"value": 1}, Prefer="wait=1").status_code == 504
    assert ready(gated).json()["description"] == "No worker is there"
    gated.services["redis"].kill()
    gated.wait(lambda: ready(gated).json()["description"] == "Redis does not answer", "no Redis")
    assert requests.get(f"{gated.url}/health/live/", timeout=10).json() == {"live": True}
