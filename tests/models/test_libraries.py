"""Models of real libraries answer: loaded only or warmed up, under load, after deaths."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from runtime.deployment import Deployment, deployed

PIPELINES = Path(__file__).with_name("pipelines")
START_SECONDS = 180.0
CLIENTS = 32
REQUESTS = 4 * CLIENTS
REQUEST = {"x": [0.5] * 20}

# Pipeline, the packages it needs, and whether its model is shared by default.
LIBRARIES = [
    ("sklearn_models", ["sklearn"], True),
    ("lightgbm_booster", ["lightgbm"], True),
    ("lightgbm_pickled", ["lightgbm", "sklearn"], True),
    ("xgboost_booster", ["xgboost", "sklearn"], True),
    ("onnx_session", ["onnxruntime", "onnx"], True),
    ("torch_cnn", ["torch"], True),
    ("keras_dense", ["keras", "tensorflow"], False),
]


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported, without importing it."""
    from importlib.util import find_spec

    return find_spec(package) is not None


@pytest.fixture(scope="module", params=["loaded", "warmed up"])
def warmth(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return what has load_model predict once, or not."""
    return {"TEST_WARM_UP": "1"} if request.param == "warmed up" else {}


@pytest.fixture(scope="module", params=LIBRARIES, ids=[name for name, _, _ in LIBRARIES])
def served(
    request: pytest.FixtureRequest,
    warmth: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Deployment, bool]]:
    """Yield a running deployment of a library's model, and whether the model is to be shared."""
    name, packages, is_shared = request.param
    if missing := [package for package in packages if not is_installed(package)]:
        pytest.skip(f"{', '.join(missing)} not installed")
    pipeline = (PIPELINES / f"{name}.py").read_text(encoding="utf-8")
    settings = {"WORKER_CONCURRENCY": "auto", **warmth}
    with deployed(tmp_path_factory.mktemp(name), pipeline, settings) as deployment:
        made = deployment.run("-c", "from app.logic.pipeline import make; make()")
        assert made.returncode == 0, made.stderr
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.wait_for_worker(START_SECONDS)
        deployment.start_api(wait=False)  # it imports the library, too
        deployment.wait_for("api", deployment.info_answers, START_SECONDS)
        yield deployment, is_shared


def model(deployment: Deployment) -> dict[str, Any]:
    """Return how the worker says that it holds the model."""
    path = Path(deployment.environment["DENZEL_RUN_DIR"]) / "worker.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))["model"])


def ask_many(deployment: Deployment) -> list[requests.Response]:
    """Return the answers to many requests, asked by 32 clients at the same time."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        return list(
            clients.map(lambda _: deployment.predict(REQUEST, Prefer="wait=50"), range(REQUESTS))
        )


def check_answers(deployment: Deployment) -> set[int]:
    """Have many requests answered alike; return the processes that did it."""
    found = ask_many(deployment)
    bad = [each.text for each in found if each.status_code != 200]
    assert not bad, f"{bad[:3]}\n{deployment.output()}"
    first = found[0].json()["y"]
    for each in found:
        assert each.json()["y"] == pytest.approx(first, rel=1e-3)
    return {each.json()["pid"] for each in found}


def test_the_first_prediction_is_answered(served: tuple[Deployment, bool]) -> None:
    deployment, _ = served
    answer = deployment.predict(REQUEST, Prefer="wait=50")
    assert answer.status_code == 200, f"{answer.text}\n{deployment.output()}"


def test_the_model_is_shared_where_it_can_be(served: tuple[Deployment, bool]) -> None:
    deployment, is_shared = served
    found = model(deployment)
    assert found["shared"] is is_shared, found
    processors = len(os.sched_getaffinity(0))
    assert found["processes"] == (processors if is_shared else 1)
    assert found["threads"] == (1 if is_shared else processors)


def test_many_clients_are_answered_by_every_process(served: tuple[Deployment, bool]) -> None:
    deployment, _ = served
    # A quick model's process can take all that waits before the next one is free.
    seen: set[int] = set()

    def all_have_answered() -> bool:
        seen.update(check_answers(deployment))
        return bool(len(seen) == model(deployment)["processes"])

    deployment.wait(all_have_answered, "each process has answered", START_SECONDS)


def test_the_death_of_a_process_under_load_costs_at_most_what_it_held(
    served: tuple[Deployment, bool],
) -> None:
    deployment, _ = served
    victim = deployment.predict(REQUEST, Prefer="wait=50").json()["pid"]
    with ThreadPoolExecutor(1) as clients:
        load = clients.submit(ask_many, deployment)
        os.kill(victim, signal.SIGKILL)
        statuses = {each.status_code for each in load.result()}
    # While the only process loads a model that takes long, there is none: 503 at once.
    allowed = {200, 500, 503} if model(deployment)["processes"] == 1 else {200, 500}
    assert statuses <= allowed, deployment.output()
    deployment.wait_for_worker(START_SECONDS)
    assert victim not in check_answers(deployment)


def test_after_a_restart_it_answers_again(served: tuple[Deployment, bool]) -> None:
    deployment, _ = served
    worker = deployment.services["denzel"]
    worker.process.terminate()
    assert worker.process.wait(30) == 0, worker.output()
    deployment.start_worker(wait=False)
    deployment.wait_for_worker(START_SECONDS)
    check_answers(deployment)
