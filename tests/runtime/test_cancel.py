"""``POST /cancel`` and ``GET /status?wait=N``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed
from .receiver import Receiver


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment that predicts for one request at a time and stops none that runs."""
    with deployed(tmp_path_factory.mktemp("slow"), OBEDIENT, {"API_WORKERS": "2"}) as deployment:
        deployment.start_redis()
        deployment.start_api()
        deployment.start_worker()
        deployment.start_callbacks()
        yield deployment


@pytest.fixture(scope="module")
def stopping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment that stops what runs, with a pipeline that predicts in batches."""
    pipeline = OBEDIENT + (
        "\n\ndef predict_batch(model, batch):\n"
        "    note('batch', size=len(batch), marks=[data.get('mark') for data in batch])\n"
        "    return [predict(model, data) for data in batch]\n"
    )
    settings = {"CANCEL_RUNNING": "1"}
    with deployed(tmp_path_factory.mktemp("stopping"), pipeline, settings) as deployment:
        deployment.start_redis()
        deployment.start_api()
        deployment.start_worker()
        yield deployment


def cancel(deployment: Deployment, task_id: str) -> requests.Response:
    """POST to ``/cancel``."""
    return requests.post(f"{deployment.url}/cancel/{task_id}", timeout=10)


def wait_for_status(deployment: Deployment, task_id: str, seconds: int) -> requests.Response:
    """GET ``/status`` with ``wait``."""
    return requests.get(
        f"{deployment.url}/status/{task_id}", params={"wait": seconds}, timeout=seconds + 10
    )


def predictions(deployment: Deployment, mark: str) -> int:
    """Return how often the pipeline predicted for requests with this mark."""
    return sum(note["mark"] == mark for note in deployment.trace("predict"))


def test_a_queued_prediction_is_revoked_and_never_runs(
    slow: Deployment, receiver: Receiver
) -> None:
    mark, path = str(uuid4()), f"/{uuid4()}"
    body = {"do": "note", "mark": mark, "callback_uri": receiver.url + path}
    with slow.occupied():
        ids = [slow.accept(body) for _ in range(4)]
        answers = [cancel(slow, task_id) for task_id in ids[:3]]
    revoked = {"status": "REVOKED", "result": {"args": ["cancelled"], "type": "TaskRevokedError"}}
    for answer in answers:
        assert answer.status_code == 200
        assert {name: answer.json()[name] for name in revoked} == revoked
    assert slow.final_status(ids[3])["result"] == {"noted": mark}
    assert slow.final_status(slow.accept({"value": 1}))["status"] == "SUCCESS"
    assert predictions(slow, mark) == 1
    assert {slow.status(task_id)["status"] for task_id in ids[:3]} == {"REVOKED"}
    # Whoever waits for the callback is told, too.
    slow.wait(lambda: len(receiver.requests_to(path)) == 4, "four callbacks", 20)
    states = sorted(each.headers["Denzel-Status"] for each in receiver.requests_to(path))
    assert states == ["REVOKED", "REVOKED", "REVOKED", "SUCCESS"]


def test_cancelling_twice_or_too_late_is_409_with_the_state(slow: Deployment) -> None:
    with slow.occupied():
        queued = slow.accept({"value": 1})
        assert cancel(slow, queued).status_code == 200
    done, failed = slow.accept({"value": 1}), slow.accept({"do": "NameError"})
    for task_id, state in ((queued, "REVOKED"), (done, "SUCCESS"), (failed, "FAILURE")):
        before = slow.final_status(task_id)
        answer = cancel(slow, task_id)
        assert answer.status_code == 409
        assert answer.json()["title"] == "Not cancelled"
        assert answer.json()["status"] == state
        assert slow.status(task_id) == before


def test_an_unknown_task_is_404(slow: Deployment) -> None:
    answer = cancel(slow, str(uuid4()))
    assert (answer.status_code, answer.json()["title"]) == (404, "Unknown task")
    assert wait_for_status(slow, str(uuid4()), 5).status_code == 404


def test_a_running_prediction_is_not_stopped_without_the_setting(slow: Deployment) -> None:
    with slow.occupied() as (running,):
        answer = cancel(slow, running)
    assert (answer.status_code, answer.json()["status"]) == (409, "PENDING")


def test_a_synchronous_request_cannot_be_cancelled(slow: Deployment) -> None:
    late = slow.predict({"do": "sleep", "seconds": 4}, Prefer="wait=1")
    assert late.status_code == 504
    answer = cancel(slow, late.json()["task_id"])
    assert answer.status_code == 409
    assert "synchronous" in answer.json()["description"]
    assert slow.final_status(late.json()["task_id"])["result"] == {"slept": 4}
    assert cancel(slow, late.json()["task_id"]).json()["status"] == "SUCCESS"


def test_who_waits_for_a_cancelled_prediction_is_told_at_once(slow: Deployment) -> None:
    with slow.occupied(), ThreadPoolExecutor(2) as clients:
        key = str(uuid4())
        headers = {"Prefer": "respond-async, wait=20", "Idempotency-Key": key}
        waiting = clients.submit(slow.predict, {"value": key}, **headers)
        task_id = slow.wait(
            lambda: slow.predict(
                {"value": key}, Prefer="respond-async", **{"Idempotency-Key": key}
            ).headers["Denzel-Task-Id"],
            "the id",
        )
        asking = clients.submit(wait_for_status, slow, task_id, 20)
        assert cancel(slow, task_id).status_code == 200
        cancelled = time.monotonic()
        assert waiting.result().status_code == 409
        assert waiting.result().json()["title"] == "Prediction cancelled"
        assert asking.result().json()["status"] == "REVOKED"
        assert time.monotonic() - cancelled < 10


def test_a_running_prediction_is_stopped_and_the_worker_lives_on(stopping: Deployment) -> None:
    running = stopping.accept({"do": "sleep", "seconds": 60})
    stopping.wait_until_begun(running)
    assert cancel(stopping, running).json()["status"] == "REVOKED"
    assert stopping.predict({"value": 1}, Prefer="wait=20").json() == {"echo": 1}
    assert stopping.status(running)["status"] == "REVOKED"
    assert cancel(stopping, running).status_code == 409


def test_those_that_ran_together_with_a_cancelled_one_are_tried_again(
    stopping: Deployment,
) -> None:
    marks = [str(uuid4()) for _ in range(6)]
    bodies: list[dict[str, object]] = [{"do": "note", "mark": mark} for mark in marks]
    bodies[0] = {"do": "sleep", "seconds": 60, "mark": marks[0]}
    with stopping.occupied():
        ids = [stopping.accept(body) for body in bodies]
    stopping.wait_until_begun(ids[0])
    assert cancel(stopping, ids[0]).status_code == 200
    for task_id, mark in zip(ids[1:], marks[1:], strict=True):
        assert stopping.final_status(task_id)["result"] == {"noted": mark}
    assert stopping.status(ids[0])["status"] == "REVOKED"


def test_status_with_wait_answers_when_the_task_ends(slow: Deployment) -> None:
    task_id = slow.accept({"do": "sleep", "seconds": 1})
    began = time.monotonic()
    answer = wait_for_status(slow, task_id, 30)
    assert answer.json()["result"] == {"slept": 1}
    assert wait_for_status(slow, task_id, 30).json()["status"] == "SUCCESS"
    assert time.monotonic() - began < 15


def test_who_waits_is_told_by_the_worker_and_does_not_look_again_and_again(
    slow: Deployment,
) -> None:
    """Looking again, once a second, is for words that get lost."""
    seconds = []
    for _ in range(6):
        task_id = slow.accept({"do": "sleep", "seconds": 0.2})
        began = time.monotonic()
        assert wait_for_status(slow, task_id, 30).json()["status"] == "SUCCESS"
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.9  # else each would take a second


def test_status_with_wait_answers_the_state_when_the_time_is_up(slow: Deployment) -> None:
    with slow.occupied() as (task_id,):
        began = time.monotonic()
        assert wait_for_status(slow, task_id, 1).json()["status"] == "PENDING"
        assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("wait", ["-1", "soon", "1.5", "nan", "1e3", "²"])
def test_a_wait_that_is_no_number_is_400(slow: Deployment, wait: str) -> None:
    answer = requests.get(f"{slow.url}/status/{uuid4()}", params={"wait": wait}, timeout=10)
    assert (answer.status_code, answer.json()["title"]) == (400, "Bad input format")


def test_waiting_for_a_synchronous_requests_late_end(slow: Deployment) -> None:
    late = slow.predict({"do": "sleep", "seconds": 2}, Prefer="wait=1")
    assert late.status_code == 504
    began = time.monotonic()
    answer = wait_for_status(slow, late.json()["task_id"], 20)
    assert answer.json() == {"status": "SUCCESS", "result": {"slept": 2}}
    assert time.monotonic() - began < 15


def test_a_hundred_who_wait_are_told_within_a_moment_of_each_other(slow: Deployment) -> None:
    busy = slow.accept({"do": "sleep", "seconds": 2})
    task_id = slow.accept({"value": 1})
    with ThreadPoolExecutor(100) as clients:
        answers = list(
            clients.map(
                lambda _: (wait_for_status(slow, task_id, 30), time.monotonic()), range(100)
            )
        )
    assert all(answer.json()["result"] == {"echo": 1} for answer, _ in answers)
    moments = [moment for _, moment in answers]
    assert max(moments) - min(moments) < 5
    slow.final_status(busy)
