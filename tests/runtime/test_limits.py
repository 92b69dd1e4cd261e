"""How much a deployment takes on: requests on the queue, clients that wait, Redis's memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
import requests

from app.runtime.store.keys import PREDICTIONS_QUEUE

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment with low limits, three API processes and no worker."""
    settings = {
        "API_WORKERS": "3",
        "MAX_QUEUE": "5",
        "MAX_WAITING": "2",
    }
    with deployed(tmp_path_factory.mktemp("narrow"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_api()
        deployment.wait(lambda: connected(deployment), "every API process is connected", 20)
        yield deployment


def connected(deployment: Deployment) -> bool:
    """Tell whether the API knows Redis whatever process is asked."""
    answers = [requests.get(f"{deployment.url}/status/x", timeout=10) for _ in range(12)]
    return all(answer.status_code == 404 for answer in answers)


def client(deployment: Deployment) -> redis.Redis:
    """Return a connection to the deployment's Redis."""
    return redis.Redis.from_url(deployment.environment["REDIS_URL"])


def assert_refused(answer: requests.Response, title: str) -> None:
    """Check a 503 that says when to come again."""
    assert answer.status_code == 503
    assert answer.json()["title"] == title
    assert int(answer.headers["Retry-After"]) > 0
    assert "Denzel-Task-Id" not in answer.headers


# The queue


@pytest.mark.parametrize("keyed", [False, True])
def test_a_full_queue_is_503_and_nothing_is_queued(narrow: Deployment, keyed: bool) -> None:
    client(narrow).flushall()

    def ask(number: int) -> requests.Response:
        headers = {"Idempotency-Key": str(number)} if keyed else {}
        return narrow.predict({"value": number}, Prefer="respond-async", **headers)

    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(ask, range(24)))
    accepted = [answer for answer in answers if answer.status_code == 200]
    assert len(accepted) == 5
    for answer in answers:
        if answer.status_code != 200:
            assert_refused(answer, "Queue full")
    assert client(narrow).llen(PREDICTIONS_QUEUE) == 5
    assert len(client(narrow).keys("denzel:request:*")) == 5
    ids = [answer.json()["data"]["task_id"] for answer in accepted]
    # What is there already is answered as ever.
    if keyed:
        again = [number for number in range(24) if answers[number].status_code == 200]
        assert [ask(number).json()["data"]["task_id"] for number in again] == ids
    narrow.start_worker()
    try:
        assert {narrow.final_status(task_id)["status"] for task_id in ids} == {"SUCCESS"}
        assert ask(100).status_code == 200
    finally:
        narrow.services.pop("denzel").kill()


def test_too_many_who_wait_are_503(narrow: Deployment) -> None:
    client(narrow).flushall()
    with ThreadPoolExecutor(12) as clients:
        jobs = [
            clients.submit(narrow.predict, {"value": number}, Prefer="wait=4")
            for number in range(12)
        ]
        answers = [job.result() for job in jobs]
    # Two in each process at most, and connections are not spread evenly.
    statuses = sorted(answer.status_code for answer in answers)
    assert 2 <= statuses.count(504) <= 6
    assert statuses.count(503) == 12 - statuses.count(504)
    for answer in answers:
        if answer.status_code == 503:
            assert_refused(answer, "Too many waiting")
    # Their places are free again.
    assert narrow.predict({"value": 1}, Prefer="wait=1").status_code == 504


def test_a_client_that_leaves_frees_its_place(narrow: Deployment) -> None:
    for _ in range(12):
        with contextlib.suppress(requests.exceptions.ReadTimeout):
            requests.post(
                f"{narrow.url}/predict", json={}, headers={"Prefer": "wait=60"}, timeout=(10, 0.1)
            )
    narrow.wait(
        lambda: narrow.predict({"value": 1}, Prefer="wait=1").status_code == 504,
        "there is a place",
    )


# Redis's memory


def test_full_memory_is_503_and_what_was_accepted_is_predicted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with deployed(tmp_path_factory.mktemp("full"), OBEDIENT, {}) as deployment:
        deployment.start_redis("--maxmemory", "24mb", "--maxmemory-policy", "noeviction")
        deployment.start_api()
        deployment.wait(lambda: connected(deployment), "the API is connected", 20)
        large = {"value": "x" * 300_000}
        accepted = []
        for _ in range(200):
            answer = deployment.predict(large, Prefer="respond-async")
            if answer.status_code != 200:
                break
            accepted.append(answer.json()["data"]["task_id"])
        assert_refused(answer, "Queue full")
        assert "memory" in answer.json()["description"]
        assert 20 < len(accepted) < 80
        for prefer in ("respond-async", "wait=1"):
            assert_refused(deployment.predict(large, Prefer=prefer), "Queue full")
        assert requests.get(f"{deployment.url}/info", timeout=10).ok
        used = client(deployment).info("memory")["used_memory"]
        assert used < 24 * MEGABYTE
        deployment.start_worker()
        for task_id in accepted:
            assert deployment.final_status(task_id, 60)["status"] == "SUCCESS"
        client(deployment).flushall()
        deployment.wait(
            lambda: deployment.predict({"value": 1}, Prefer="wait=10").status_code == 200,
            "there is room again",
        )


def test_memory_that_is_full_to_the_last_byte_loses_no_prediction(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whoever filled it: another program, or results larger than anybody thought."""
    settings = {"RECOVERY_SECONDS": "5"}
    with deployed(tmp_path_factory.mktemp("bursting"), OBEDIENT, settings) as deployment:
        deployment.start_redis("--maxmemory", "24mb", "--maxmemory-policy", "noeviction")
        deployment.start_api()
        deployment.start_worker()
        deployment.wait(lambda: connected(deployment), "the API is connected", 20)
        ids = [deployment.accept({"do": "inflate", "size": 300_000}) for _ in range(8)]
        fill(client(deployment))
        for prefer in ("respond-async", "wait=1"):
            deployment.wait(
                lambda prefer=prefer: (
                    deployment.predict({"value": 1}, Prefer=prefer).status_code  # type: ignore[misc]
                    == 503
                ),
                "requests are refused",
            )
        # What was accepted has room for its result: nothing of it waits for memory.
        assert {deployment.final_status(each, 60)["status"] for each in ids} == {"SUCCESS"}
        client(deployment).delete("filler")
        deployment.wait(lambda: deployment.predict({"value": 1}).ok, "there is room again")


def fill(full: redis.Redis) -> None:
    """Fill Redis's memory to the last byte."""
    for size in (10_000, 1_000, 100, 10):
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            while True:
                full.rpush("filler", b"x" * size)
