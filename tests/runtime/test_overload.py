"""More synchronous requests than the workers can answer in time."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from app.runtime.store.keys import SYNC_QUEUE

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

PREDICTION_SECONDS = 0.05
CAPACITY = 1 / PREDICTION_SECONDS
TIMEOUT = 2
CLIENTS = 120
"""Three times as many as are answered within the timeout."""
ROUNDS = 4


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment that predicts for one request at a time."""
    with deployed(tmp_path_factory.mktemp("small"), OBEDIENT) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        deployment.wait(lambda: deployment.predict({"value": 1}).ok, "predictions are answered")
        yield deployment


def queue_length(deployment: Deployment) -> int:
    with redis.Redis.from_url(deployment.environment["REDIS_URL"]) as client:
        return int(client.llen(SYNC_QUEUE))


def test_answers_keep_coming_during_overload_and_afterwards_at_once(small: Deployment) -> None:
    """Nothing is predicted for those who have left, which would leave nobody an answer."""

    def ask(_: int) -> list[tuple[int, float]]:
        answers = []
        for _ in range(ROUNDS):
            body = {"do": "sleep", "seconds": PREDICTION_SECONDS}
            answer = small.predict(body, Prefer=f"wait={TIMEOUT}")
            answers.append((answer.status_code, time.monotonic()))
        return answers

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = [each for client in clients.map(ask, range(CLIENTS)) for each in client]
    seconds = time.monotonic() - began
    started = time.monotonic()
    assert small.predict({"value": 1}, Prefer="wait=10").json() == {"echo": 1}
    assert time.monotonic() - started < 5
    assert {status for status, _ in answers} == {200, 504}
    good = [moment - began for status, moment in answers if status == 200]
    assert len(good) > 0.4 * CAPACITY * seconds
    # In each part of the time, so also when the queue has long been full.
    for part in range(4):
        assert any(part <= 4 * moment / seconds < part + 1 for moment in good)


def test_what_was_not_begun_in_time_is_revoked_and_what_was_can_be_asked_for(
    small: Deployment, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    try:
        begun = small.predict({"do": "wait for", "path": str(go_on)}, Prefer="wait=3")
        waiting = small.predict({"value": 1}, Prefer="wait=1")
        assert (begun.status_code, waiting.status_code) == (504, 504)
        ids = [begun.json()["task_id"], waiting.json()["task_id"]]
        assert ids[0] == begun.headers["Denzel-Task-Id"]
        assert [small.status(each)["status"] for each in ids] == ["PENDING", "PENDING"]
    finally:
        go_on.touch()
    assert small.final_status(ids[0]) == {"status": "SUCCESS", "result": {"waited": True}}
    revoked = small.final_status(ids[1])
    assert revoked["status"] == "REVOKED"
    assert "nobody waited" in revoked["result"]["args"][0]


def test_clients_that_leave_before_they_are_begun_are_not_predicted_for(
    small: Deployment,
) -> None:
    mark = str(uuid4())
    body = f'{{"do": "note", "mark": "{mark}"}}'.encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\nContent-Length: {len(body)}"
    address = ("127.0.0.1", int(small.environment["API_PORT"]))
    with small.occupied(), redis.Redis.from_url(small.environment["REDIS_URL"]) as client:
        before = client.zcard("denzel:abandoned")
        leaving = [socket.create_connection(address, timeout=10) for _ in range(10)]
        for connection in leaving:
            connection.sendall(f"{head}\r\n\r\n".encode() + body)
        small.wait(lambda: queue_length(small) == 10, "they are queued", 10)
        for connection in leaving:
            connection.close()
        small.wait(lambda: client.zcard("denzel:abandoned") == before + 10, "that is noted", 10)
    small.wait(lambda: queue_length(small) == 0, "the queue is empty", 10)
    assert small.predict({"do": "note", "mark": "here"}, Prefer="wait=20").ok
    marks = [each["mark"] for each in small.trace("predict")]
    assert (marks.count(mark), marks.count("here")) == (0, 1)
