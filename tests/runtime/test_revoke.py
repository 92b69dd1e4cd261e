"""Revoke and terminate with ``celery control``, as Flower does it, too."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import redis
import requests

from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

BATCHING = OBEDIENT + (
    "\n\ndef predict_batch(model, batch):\n"
    "    note('batch', marks=[data.get('mark') for data in batch])\n"
    "    return [predict(model, data) for data in batch]\n"
)
LONG = 60


@pytest.fixture(scope="module")
def batching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment that predicts for batches, one at a time."""
    settings = {"RECOVERY_SECONDS": "5"}
    with deployed(tmp_path_factory.mktemp("revoking"), BATCHING, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        # From the first prediction it is known that there is a predict_batch.
        deployment.wait(lambda: deployment.predict({"value": 1}).ok, "predictions are answered")
        yield deployment


def control(deployment: Deployment, *arguments: str) -> None:
    """Run ``celery control``."""
    done = deployment.run("-m", "celery", "-A", "app.tasks", "control", *arguments)
    assert done.returncode == 0, done.stderr


def queue_length(deployment: Deployment, queue: str) -> int:
    with redis.Redis.from_url(deployment.environment["REDIS_URL"]) as client:
        return int(client.llen(queue))


def held(deployment: Deployment) -> int:
    """Return how many requests workers hold."""
    client: Any
    with redis.Redis.from_url(deployment.environment["REDIS_URL"]) as client:
        return sum(client.scard(key) for key in client.keys("denzel:held*"))


def assert_nothing_comes_back(deployment: Deployment) -> None:
    """Check that nothing is queued or held, also after what recovers has had its time."""
    # Not synchronously: the process that was ended may still be without a successor.
    one = deployment.accept({"value": 1})
    assert deployment.final_status(one, 40)["result"] == {"echo": 1}
    began = len(deployment.trace("batch"))
    beats = deployment.accept({"do": "sleep", "seconds": 7})  # three beats of the lease
    assert deployment.final_status(beats, 40)["status"] == "SUCCESS"
    deployment.wait(lambda: held(deployment) == 0, "nothing is held", 10)
    assert queue_length(deployment, PREDICTIONS_QUEUE) == 0
    assert queue_length(deployment, SYNC_QUEUE) == 0
    assert len(deployment.trace("batch")) == began + 1


def note(mark: str) -> dict[str, Any]:
    return {"do": "note", "mark": mark}


def ask(
    clients: ThreadPoolExecutor, deployment: Deployment, kind: str, bodies: list[dict[str, Any]]
) -> list[Future[requests.Response]]:
    """Send requests of a kind; those that are synchronous wait."""
    prefer = "respond-async" if kind == "async" else "wait=50"
    return [clients.submit(deployment.predict, body, Prefer=prefer) for body in bodies]


def ids_in(deployment: Deployment, kind: str) -> list[str]:
    """Return the ids that are queued, or held by the worker, of synchronous requests."""
    from app.runtime.store.messages import decode_message

    client: Any
    with redis.Redis.from_url(deployment.environment["REDIS_URL"]) as client:
        if kind == "queued":
            queued = client.lrange(SYNC_QUEUE, 0, -1) + client.lrange(PREDICTIONS_QUEUE, 0, -1)
            return [decode_message(each).id for each in queued]
        keys = client.keys("denzel:held*")
        return [each.decode() for key in keys for each in client.smembers(key)]


def assert_revoked(answer: requests.Response, deployment: Deployment, task_id: str) -> None:
    """Check what a client and ``/status`` are told of a revoked request."""
    if answer.status_code != 200:  # a synchronous one
        assert (answer.status_code, answer.json()["title"]) == (409, "Prediction cancelled")
    assert deployment.final_status(task_id) == {
        "status": "REVOKED", "result": {"args": ["cancelled"], "type": "TaskRevokedError"},
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_queued_request_that_is_revoked_never_runs(batching: Deployment, kind: str) -> None:
    marks = [str(uuid4()) for _ in range(3)]
    with ThreadPoolExecutor(4) as clients:
        with batching.occupied():
            (revoked,) = ask(clients, batching, kind, [note(marks[0])])
            (task_id,) = batching.wait(lambda: ids_in(batching, "queued"), "it is queued", 10)
            mates = ask(clients, batching, kind, [note(mark) for mark in marks[1:]])
            control(batching, "revoke", task_id)
        assert_revoked(revoked.result(), batching, task_id)
        for mate, mark in zip(mates, marks[1:], strict=True):
            answer = mate.result().json()
            if kind == "async":
                answer = batching.final_status(answer["data"]["task_id"])["result"]
            assert answer == {"noted": mark}
    assert [each["mark"] for each in batching.trace("predict")].count(marks[0]) == 0
    assert_nothing_comes_back(batching)
    assert "result backend" not in batching.services["denzel"].log.read_text(errors="replace")
    assert batching.status(task_id)["status"] == "REVOKED"


@pytest.mark.parametrize("way", ["terminate", "revoke"])
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_running_request_that_is_terminated_is_stopped(
    batching: Deployment, kind: str, way: str
) -> None:
    sleeps = len(batching.trace("sleep"))
    with ThreadPoolExecutor(1) as clients:
        (stopped,) = ask(clients, batching, kind, [{"do": "sleep", "seconds": LONG}])
        batching.wait(lambda: len(batching.trace("sleep")) > sleeps, "it runs", 20)
        (task_id,) = ids_in(batching, "held")
        terminate(batching, task_id, way)
        assert_revoked(stopped.result(), batching, task_id)
    assert_nothing_comes_back(batching)
    assert batching.status(task_id)["status"] == "REVOKED"
    assert len(batching.trace("sleep")) == sleeps + 2  # the second is that of the check above


def terminate(deployment: Deployment, task_id: str, way: str) -> None:
    """Terminate with the command line, or as Flower and programs do."""
    if way == "terminate":
        control(deployment, "terminate", "SIGTERM", task_id)
        return
    done = deployment.run(
        "-c", f"from app.tasks import celery_app; celery_app.control.revoke({task_id!r}, "
        "terminate=True)",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_those_in_a_batch_with_a_terminated_request_are_answered(
    batching: Deployment, kind: str
) -> None:
    marks = [str(uuid4()) for _ in range(4)]
    with ThreadPoolExecutor(6) as clients:
        with batching.occupied():
            (stopped,) = ask(
                clients, batching, kind, [{"do": "sleep", "seconds": LONG, "mark": marks[0]}]
            )
            (task_id,) = batching.wait(lambda: ids_in(batching, "queued"), "it is queued", 10)
            mates = ask(clients, batching, kind, [note(mark) for mark in marks[1:]])
            batching.wait(lambda: len(ids_in(batching, "queued")) == 4, "all are queued", 10)

        def together() -> bool:
            return any(set(each["marks"]) == set(marks) for each in batching.trace("batch"))

        batching.wait(together, "they are predicted for together", 20)
        control(batching, "terminate", "SIGKILL", task_id)
        assert_revoked(stopped.result(), batching, task_id)
        for mate, mark in zip(mates, marks[1:], strict=True):
            answer = mate.result().json()
            if kind == "async":
                answer = batching.final_status(answer["data"]["task_id"])["result"]
            assert answer == {"noted": mark}
    assert_nothing_comes_back(batching)
    assert batching.status(task_id)["status"] == "REVOKED"


def test_a_running_request_that_is_only_revoked_goes_on(batching: Deployment) -> None:
    """As with any Celery task: revoking without terminating is for what has not begun."""
    task_id = batching.accept({"do": "sleep", "seconds": 3})
    batching.wait_until_begun(task_id)
    control(batching, "revoke", task_id)
    assert batching.final_status(task_id)["status"] in ("SUCCESS", "REVOKED")
    assert_nothing_comes_back(batching)
