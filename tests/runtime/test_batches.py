"""Requests that wait at the same moment: predicted together, answered each on its own."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .conftest import OBEDIENT
from .deployment import Deployment, deployed
from .load import Answer, post_all
from .ports import free_port
from .template import PIPELINES

SEED = 20261123
FAULTS = [""] * 36 + ["verify", "process", "predict", "result"]
MOST = 32


@pytest.fixture(scope="module")
def batching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment of a pipeline with predict_batch."""
    pipeline = (PIPELINES / "batching.py").read_text(encoding="utf-8")
    settings = {"API_WORKERS": "2", "WORKER_CONCURRENCY": "2", "BATCH_MAX_SIZE": str(MOST)}
    with deployed(tmp_path_factory.mktemp("batching"), pipeline, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        yield deployment


def port(deployment: Deployment) -> int:
    return int(deployment.environment["API_PORT"])


def questions(count: int, seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [{"number": number, "fault": chance.choice(FAULTS)} for number in range(count)]


def assert_its_own(question: dict[str, Any], answer: Answer) -> None:
    """Fail unless the answer is this question's: its number, or its own fault."""
    number, fault = question["number"], question["fault"]
    expected = {
        "verify": (400, "Bad input format", f"refused {number}"),
        "process": (500, "Prediction failed", f"ValueError: process {number}"),
        "predict": (500, "Prediction failed", f"ValueError: predict {number}"),
        "result": (
            500,
            "Prediction failed",
            'TypeError: result["number"] is a set, which JSON cannot hold; '
            "make it a list with sorted(…) or list(…)",
        ),
    }
    if fault:
        told = (answer.status, answer.body["title"], answer.body["description"])
        assert told == expected[fault]
    else:
        assert answer.status == 200, answer
        assert answer.body["number"] == number


def test_thousands_of_concurrent_requests_get_their_own_answers(batching: Deployment) -> None:
    asked = questions(2000, SEED)
    answers = post_all(port(batching), asked, connections=100)
    for question, answer in zip(asked, answers, strict=True):
        assert_its_own(question, answer)
    ids = [answer.headers["denzel-task-id"] for answer in answers if answer.status != 400]
    assert len(set(ids)) == len(ids)


def test_requests_that_wait_at_the_same_moment_are_predicted_together(
    batching: Deployment,
) -> None:
    asked = [{"number": number, "fault": ""} for number in range(1000)]
    answers = post_all(port(batching), asked, connections=100)
    sizes = [answer.body["batch"] for answer in answers]
    assert max(sizes) <= MOST
    assert sum(sizes) / len(sizes) > 8
    assert max(sizes) > 16


def test_a_lone_request_is_a_batch_of_one(batching: Deployment) -> None:
    for number in range(3):
        answer = batching.predict({"number": number, "fault": ""})
        assert answer.json() == {"number": number, "batch": 1}


def test_with_batch_max_wait_requests_wait_for_a_full_batch(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Not longer than until it is full, and none is sent alone meanwhile."""
    pipeline = (PIPELINES / "batching.py").read_text(encoding="utf-8")
    settings = {"API_WORKERS": "1", "BATCH_MAX_SIZE": "4", "BATCH_MAX_WAIT": "60"}
    with deployed(tmp_path_factory.mktemp("patient"), pipeline, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        deployment.respond("--sync", "--timeout", "30")
        # That the pipeline has predict_batch is known from the first prediction.
        assert deployment.predict({"number": 0, "fault": ""}).json()["batch"] == 1
        asked = [{"number": number, "fault": ""} for number in range(20)]
        answers = post_all(port(deployment), asked, connections=4)
        assert [answer.body["batch"] for answer in answers] == [4] * 20


def test_a_batch_holds_requests_of_all_api_replicas(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    pipeline = (PIPELINES / "batching.py").read_text(encoding="utf-8")
    settings = {
        "API_WORKERS": "1", "BATCH_MAX_SIZE": "4", "BATCH_MAX_WAIT": "60",
    }  # fmt: skip
    with deployed(tmp_path_factory.mktemp("replicas"), pipeline, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        first = port(deployment)
        deployment.services["api-1"] = deployment.services.pop("api")
        deployment.environment["API_PORT"] = str(free_port())
        deployment.start_api()
        deployment.wait_for_worker()
        deployment.respond("--sync", "--timeout", "30")
        assert deployment.predict({"number": 0, "fault": ""}).json()["batch"] == 1
        asked = [{"number": number, "fault": ""} for number in range(10)]
        with ThreadPoolExecutor() as pool:
            loads = [
                pool.submit(post_all, replica, asked, connections=2)
                for replica in (first, port(deployment))
            ]
            answers = [answer for load in loads for answer in load.result()]
        # With two clients at each API there are never four requests of one of them.
        assert [answer.body["batch"] for answer in answers] == [4] * 20


def test_large_requests_are_predicted_in_smaller_batches(batching: Deployment) -> None:
    """A worker process holds a batch's payloads all at once."""
    padding = "x" * (2 * 2**20)
    asked = [{"number": number, "fault": "", "padding": padding} for number in range(12)]
    answers = post_all(port(batching), asked, connections=12)
    assert [answer.body["number"] for answer in answers] == list(range(12))
    assert max(answer.body["batch"] for answer in answers) <= 2


def test_thousands_of_async_requests_keep_their_own_results(batching: Deployment) -> None:
    asked = [each for each in questions(1500, SEED + 1) if each["fault"] != "verify"]
    answers = post_all(port(batching), asked, connections=50, prefer="respond-async")
    for question, answer in zip(asked, answers, strict=True):
        number, fault = question["number"], question["fault"]
        status = batching.final_status(answer.body["data"]["task_id"], 60)
        if not fault:
            assert (status["status"], status["result"]["number"]) == ("SUCCESS", number)
        elif fault == "result":
            assert (status["status"], status["result"]["type"]) == ("FAILURE", "TypeError")
        else:
            assert (status["status"], status["result"]["args"]) == (
                "FAILURE",
                [f"{fault} {number}"],
            )


def test_without_predict_batch_they_get_their_own_answers_too(lab: Deployment) -> None:
    chance = random.Random(SEED)
    asked = [
        {"value": number, "process": "fail" if chance.random() < 0.1 else ""}
        for number in range(3000)
    ]
    answers = post_all(port(lab), asked, connections=100)
    for question, answer in zip(asked, answers, strict=True):
        if question["process"]:
            assert answer.status == 500
            assert answer.body["description"] == "NameError: name 'np' is not defined"
        else:
            assert (answer.status, answer.body) == (200, {"echo": question["value"]})


def test_a_process_that_dies_takes_only_the_guilty_request_with_it(lab: Deployment) -> None:
    """The others of its group are predicted by another."""
    asked = [{"value": n, "do": "exit" if n % 100 == 50 else "echo"} for n in range(400)]
    answers = post_all(port(lab), asked, connections=40)
    for question, answer in zip(asked, answers, strict=True):
        if question["do"] == "exit":
            assert answer.status == 500
            assert "WorkerLostError" in answer.body["description"]
        else:
            assert (answer.status, answer.body) == (200, {"echo": question["value"]})


def test_slow_predictions_spread_over_the_workers_processes(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """They do not queue behind one another in a group while a process is free."""
    settings = {"WORKER_CONCURRENCY": "4"}
    with deployed(tmp_path_factory.mktemp("slow"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        asked = [{"do": "whoami", "seconds": 0.3}] * 4
        post_all(port(deployment), asked, 4)  # by now it is known how slow they are
        answers = post_all(port(deployment), asked * 4, connections=16)
        made = Counter(answer.body["pid"] for answer in answers)
        assert len(made) == 4
        assert max(made.values()) <= 6, made
