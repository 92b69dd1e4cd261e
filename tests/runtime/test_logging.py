"""What the services write to their logs, and that nothing depends on it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed
from .ports import free_port
from .receiver import Receiver

LINE = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[(WARNING|ERROR)\] "


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment that predicts."""
    with deployed(tmp_path_factory.mktemp("logging"), OBEDIENT) as deployment:
        deployment.start_redis()
        deployment.start_worker()
        deployment.start_api()
        yield deployment


def lines(deployment: Deployment, end: str) -> list[str]:
    """Return the API's lines that end so."""
    output = deployment.services["api"].output()
    return [line for line in output.splitlines() if re.fullmatch(LINE + end, line)]


def test_every_answer_of_400_and_above_has_its_line(deployment: Deployment) -> None:
    url, unknown = deployment.url, str(uuid4())
    requests.get(f"{url}/nothing?secret=1", timeout=10)
    requests.get(f"{url}/status/{unknown}", timeout=10)
    requests.delete(f"{url}/info", timeout=10)
    requests.post(f"{url}/predict", data=b"no JSON", timeout=10)
    requests.post(f"{url}/predict", data=b"x" * 20_000_000, timeout=30)
    for expected in (
        "GET /nothing: 404 Not Found",
        f"GET /status/{unknown}: 404 Unknown task",
        "DELETE /info: 405 Method Not Allowed",
        "POST /predict: 400 Malformed JSON",
        "POST /predict: 413 Body too large",
    ):
        assert len(lines(deployment, re.escape(f"{expected} from 127.0.0.1"))) == 1, expected


def test_the_line_names_the_task(deployment: Deployment) -> None:
    answer = deployment.predict({"process": "fail"}, Prefer="wait=20")
    task_id = answer.headers["Denzel-Task-Id"]
    assert answer.status_code == 500
    (line,) = lines(
        deployment, rf"POST /predict: 500 Prediction failed \[{task_id}\] from 127.0.0.1"
    )
    assert "ERROR" in line
    late = deployment.predict({"do": "sleep", "seconds": 2}, Prefer="wait=1")
    task_id = late.json()["task_id"]
    assert (
        len(
            lines(
                deployment, rf"POST /predict: 504 Prediction timed out \[{task_id}\] from 127.0.0.1"
            )
        )
        == 1
    )


def test_an_answer_below_400_has_none(deployment: Deployment) -> None:
    before = deployment.services["api"].output()
    assert deployment.predict({"value": 1}, Prefer="wait=20").status_code == 200
    assert requests.get(f"{deployment.url}/info", timeout=10).ok
    assert deployment.services["api"].output() == before


@pytest.mark.parametrize("prefer", ["wait=20", "respond-async"])
def test_a_prediction_that_raises_is_answered_though_the_log_is_gone(
    deployment: Deployment, prefer: str
) -> None:
    logs = deployment.directory / "logs"
    shutil.rmtree(logs)
    answer = deployment.predict({"process": "fail"}, Prefer=prefer)
    if prefer == "respond-async":
        status = deployment.final_status(answer.json()["data"]["task_id"])
        assert status["status"] == "FAILURE"
        assert status["result"]["args"] == ["name 'np' is not defined"]
    else:
        assert answer.status_code == 500
        assert "name 'np' is not defined" in answer.json()["description"]
    assert "name 'np' is not defined" in (logs / "worker.log").read_text(encoding="utf-8")


def test_all_services_log_json_and_the_tasks_id_runs_through(
    tmp_path: Path, receiver: Receiver
) -> None:
    settings = {"LOG_FORMAT": "json", "CALLBACK_TIMEOUT": "5"}
    pipeline = OBEDIENT.replace("    return PREDICT[", '    print("printed")\n    return PREDICT[')
    with deployed(tmp_path, pipeline, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.start_callbacks()
        deployment.start_monitor()
        deployment.wait_for_worker()
        failed = deployment.predict({"do": "NameError"}, Prefer="wait=20")
        assert failed.status_code == 500
        task_id = failed.headers["Denzel-Task-Id"]
        uri = f"http://127.0.0.1:{free_port()}/"
        accepted = deployment.accept({"value": 1, "callback_uri": uri})

        def records(service: str) -> list[dict[str, Any]]:
            text = deployment.services[service].log.read_text(encoding="utf-8")
            return [json.loads(line) for line in text.splitlines()]

        def found(service: str, message: str, task: str) -> bool:
            return any(
                message in each["message"] and each.get("task_id") == task
                for each in records(service)
            )

        assert found("api", "POST /predict: 500 Prediction failed", task_id)
        assert found("denzel", f"Prediction {task_id} failed", task_id)
        assert found("denzel", "printed", task_id)
        deployment.wait(
            lambda: found("callbacks", "no connection", accepted), "the callback fails", 20
        )
        deployment.services["redis"].kill()
        for service in ("api", "callbacks"):
            deployment.wait(
                lambda name=service: any("cannot be reached" in each["message"]  # type: ignore[misc]
                                         for each in records(name)),
                f"{service} tells that Redis is away", 30,
            )  # fmt: skip
        deployment.start_redis()
        for service in ("api", "callbacks"):
            deployment.wait(
                lambda name=service: any("is back after" in each["message"]  # type: ignore[misc]
                                         for each in records(name)),
                f"{service} tells that Redis is back", 30,
            )  # fmt: skip
        for service in ("api", "denzel", "callbacks", "monitor"):
            assert {each["service"] for each in records(service)} == {service}
        outages = [each for each in records("callbacks") if "cannot be" in each["message"]]
        assert len(outages) <= 3
