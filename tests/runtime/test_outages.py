"""Redis away and back again; the worker away and back again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import redis
import requests

from app.runtime.store.keys import SYNC_QUEUE, watchers_key
from app.runtime.store.messages import INLINE_PAYLOAD_BYTES

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

QUICK_SECONDS = 4.0


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment whose Redis and worker the tests stop and start."""
    settings = {"API_WORKERS": "2", "RECOVERY_SECONDS": "5"}
    with deployed(tmp_path_factory.mktemp("fragile"), OBEDIENT, settings) as deployment:
        deployment.start_api()
        yield deployment


def quickly(ask: Callable[[], requests.Response]) -> requests.Response:
    """Return an answer that must not keep anyone waiting."""
    started = time.monotonic()
    answer = ask()
    assert time.monotonic() - started < QUICK_SECONDS
    return answer


def assert_unavailable(deployment: Deployment) -> None:
    """Ask everything; what needs Redis is a quick 503, the rest goes on."""
    for _ in range(4):
        for prefer in ("respond-async", "wait=5", ""):
            answer = quickly(lambda prefer=prefer: deployment.predict({"a": 1}, Prefer=prefer))  # type: ignore[misc]
            assert answer.status_code == 503
            assert answer.json()["title"] == "Queue unavailable"
            assert int(answer.headers["Retry-After"]) > 0
        answer = quickly(lambda: requests.get(f"{deployment.url}/status/x", timeout=10))
        assert answer.status_code == 503
        assert quickly(lambda: requests.get(f"{deployment.url}/info", timeout=10)).ok
        # What is wrong with the request is still told.
        assert quickly(lambda: deployment.predict({"verify": "ValueError"})).status_code == 400
        assert quickly(lambda: deployment.predict([])).status_code == 400


def predicts_again(deployment: Deployment) -> None:
    """Wait until predictions are answered again, by every API process."""

    def good() -> bool:
        answers = [deployment.predict({"value": 1}, Prefer="wait=10") for _ in range(6)]
        return all(answer.status_code == 200 for answer in answers)

    deployment.wait(good, "predictions are answered again", 40)


def kill_redis(deployment: Deployment) -> None:
    """End Redis without a warning."""
    deployment.services.pop("redis").kill()


def test_everything_may_be_started_before_redis(fragile: Deployment) -> None:
    assert_unavailable(fragile)
    fragile.start_worker(wait=False)
    fragile.start_monitor(wait=False)
    assert_unavailable(fragile)
    refused = fragile.run("-m", "app.runtime.admin", "response", "--async")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    fragile.start_redis()
    predicts_again(fragile)
    fragile.wait_for_worker()


def test_redis_that_is_killed_and_comes_back_needs_no_restart(fragile: Deployment) -> None:
    before = {name: fragile.services[name].pid for name in ("api", "denzel", "monitor")}
    stored = fragile.accept({"value": "kept"})
    fragile.final_status(stored)
    fragile.respond("--sync", "--timeout", "7")
    kill_redis(fragile)
    assert_unavailable(fragile)
    fragile.start_redis()
    predicts_again(fragile)
    assert fragile.status(stored)["result"] == {"echo": "kept"}
    accepted = fragile.accept({"value": "later"})
    assert fragile.final_status(accepted)["result"] == {"echo": "later"}
    assert {name: fragile.services[name].pid for name in before} == before
    assert all(fragile.services[name].is_running() for name in before)


def test_a_sync_request_under_way_when_redis_is_killed_does_not_hang(
    fragile: Deployment,
) -> None:
    predicts_again(fragile)
    sleeps = len(fragile.trace("sleep"))
    with ThreadPoolExecutor(4) as clients:
        body = {"do": "sleep", "seconds": 1.0}
        answers = [clients.submit(fragile.predict, body, Prefer="wait=4") for _ in range(4)]
        fragile.wait(lambda: len(fragile.trace("sleep")) > sleeps, "a prediction began", 10)
        kill_redis(fragile)
        started = time.monotonic()
        statuses = {answer.result().status_code for answer in answers}
        assert statuses <= {200, 503}, statuses
        assert time.monotonic() - started < 30
    fragile.start_redis()
    predicts_again(fragile)


def test_an_outcome_outlives_an_absence_of_redis(fragile: Deployment) -> None:
    """It is not predicted again, which would count as a death of its process."""
    sleeps = len(fragile.trace("sleep"))
    accepted = fragile.accept({"do": "sleep", "seconds": 1.0})
    fragile.wait(lambda: len(fragile.trace("sleep")) > sleeps, "the prediction began", 10)
    kill_redis(fragile)
    worker = fragile.services["denzel"]
    fragile.wait(
        lambda: "Redis cannot be reached" in worker.output(), "the outcome could not be stored", 30
    )
    fragile.start_redis()
    predicts_again(fragile)
    assert fragile.final_status(accepted)["result"] == {"slept": 1.0}
    assert len(fragile.trace("sleep")) == sleeps + 1


def test_a_worker_outlives_redis_that_refuses_to_write(fragile: Deployment) -> None:
    """As it does when its disk is full; the worker would load its model again otherwise."""
    worker = fragile.services["denzel"]
    with redis.Redis.from_url(fragile.environment["REDIS_URL"]) as client:

        def refusals() -> int:
            found: Any = client.info("errorstats")
            return int(found.get("errorstat_NOREPLICAS", {"count": 0})["count"])

        client.config_set("min-replicas-to-write", 1)
        try:
            fragile.wait(lambda: refusals() > 4 or not worker.is_running(), "refusals", 30)
        finally:
            client.config_set("min-replicas-to-write", 0)
    predicts_again(fragile)
    assert worker.is_running()


def test_a_sync_request_outlives_a_short_absence_of_redis(fragile: Deployment) -> None:
    predicts_again(fragile)
    sleeps = len(fragile.trace("sleep"))
    with ThreadPoolExecutor(1) as clients:
        body = {"do": "sleep", "seconds": 3.0}
        answer = clients.submit(fragile.predict, body, Prefer="wait=30")
        fragile.wait(lambda: len(fragile.trace("sleep")) > sleeps, "a prediction began", 10)
        kill_redis(fragile)
        fragile.start_redis()
        assert answer.result().json() == {"slept": 3.0}


@pytest.mark.parametrize("size", [10, 2 * INLINE_PAYLOAD_BYTES])
def test_a_sync_request_on_the_queue_outlives_redis_that_is_killed(
    fragile: Deployment, size: int
) -> None:
    predicts_again(fragile)  # every API process has found Redis again
    fragile.services.pop("denzel").stop()
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(fragile.predict, {"value": "x" * size}, Prefer="wait=30")
        with redis.Redis(unix_socket_path=str(fragile.redis_socket)) as client:
            fragile.wait(lambda: client.llen(SYNC_QUEUE) == 1, "the request is queued", 10)
        kill_redis(fragile)
        fragile.start_redis()
        fragile.start_worker()
        assert answer.result().json() == {"echo": "x" * size}


@pytest.mark.parametrize(
    ("prefer", "most"),
    [
        ("wait=2", 4.5),
        ("respond-async, wait=2", 4.5),
        ("respond-async", 15),
        ("respond-async, wait=60", 15),
    ],
)
@pytest.mark.parametrize("keyed", [False, True])
def test_redis_that_hangs_is_told_in_time_and_truly(
    fragile: Deployment, prefer: str, most: float, keyed: bool
) -> None:
    """What was sent may be queued all the same; with a key it is queued once."""
    predicts_again(fragile)
    headers = {"Idempotency-Key": str(uuid4())} if keyed else {}
    fragile.services["redis"].signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        answer = fragile.predict({"value": 1}, Prefer=prefer, **headers)
        assert time.monotonic() - started < most
        assert quickly(lambda: requests.get(f"{fragile.url}/info", timeout=10)).ok
    finally:
        fragile.services["redis"].signal(signal.SIGCONT)
    assert (answer.status_code, answer.json()["title"]) == (503, "Queue unavailable")
    text = answer.json()["description"]
    assert "may have been queued" in text
    assert "Idempotency-Key" in text
    assert "/" not in text
    assert int(answer.headers["Retry-After"]) > 0
    predicts_again(fragile)
    assert "never retrieved" not in fragile.output()
    if keyed:
        again = fragile.predict({"value": 1}, Prefer="wait=20", **headers)
        assert again.json() == {"echo": 1}
        assert again.headers["Idempotent-Replayed"] == "true"  # it had been queued


@pytest.mark.parametrize(("path", "most"), [("status/{}?wait=1", 4.5), ("health/load", 10)])
def test_who_asks_of_redis_that_hangs_is_told_in_time(
    fragile: Deployment, path: str, most: float
) -> None:
    predicts_again(fragile)
    task_id = fragile.accept({"value": 1})
    fragile.final_status(task_id)
    fragile.services["redis"].signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        answer = requests.get(f"{fragile.url}/{path.format(task_id)}", timeout=30)
        assert time.monotonic() - started < most
    finally:
        fragile.services["redis"].signal(signal.SIGCONT)
    assert (answer.status_code, answer.json()["title"]) == (503, "Queue unavailable")
    predicts_again(fragile)


def test_who_waits_is_told_though_redis_forgot_who_waits(fragile: Deployment) -> None:
    """As one does that keeps no file, or a replica that has become the master."""
    predicts_again(fragile)
    task_id = fragile.accept({"do": "sleep", "seconds": 4})
    asked = f"{fragile.url}/status/{task_id}"
    with (
        redis.Redis.from_url(fragile.environment["REDIS_URL"]) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(requests.get, asked, params={"wait": "40"}, timeout=60)
        key = watchers_key(task_id)
        fragile.wait(lambda: client.delete(key), "it is noted who waits", 10)
        client.client_kill_filter(_type="pubsub")
        fragile.wait(lambda: client.exists(key), "it is noted again", 10)
        assert answer.result(20).json()["result"] == {"slept": 4}


def test_without_a_worker_async_requests_wait_and_sync_ones_are_504(fragile: Deployment) -> None:
    fragile.services.pop("denzel").stop()
    accepted = fragile.accept({"value": "patient"})
    answer = fragile.predict({"value": 1}, Prefer="wait=1")
    assert answer.status_code == 504
    assert fragile.status(accepted)["status"] == "PENDING"
    assert fragile.status(answer.json()["task_id"])["status"] == "PENDING"
    fragile.start_worker()
    assert fragile.final_status(accepted)["result"] == {"echo": "patient"}
    assert fragile.final_status(answer.json()["task_id"])["status"] == "REVOKED"


def test_an_api_process_that_is_killed_is_replaced(fragile: Deployment) -> None:
    imports = fragile.trace("import")
    children = {note["pid"] for note in imports if "gunicorn" in note["program"]}
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    fragile.wait(
        lambda: (
            len(fragile.trace("import")) >= len(imports) + len(children) and fragile.info_answers()
        ),
        "the API processes are replaced",
    )
    predicts_again(fragile)


def test_what_is_garbled_on_a_channel_does_not_make_the_api_deaf(fragile: Deployment) -> None:
    with redis.Redis(unix_socket_path=str(fragile.redis_socket)) as client:
        for garbage in (b"", b"garbage", b"{}", b'{"is_async": 1, "no": "receipt"}', b"\xff\n"):
            for channel in client.pubsub_channels("denzel:*"):
                client.publish(channel, garbage)
    # A deaf API process would find the result only at the end of the wait.
    fragile.wait(lambda: fragile.predict({"a": 1}).status_code == 200, "the API hears again", 10)
    for _ in range(8):
        answer = quickly(lambda: fragile.predict({"value": 1}, Prefer="wait=20"))
        assert answer.json() == {"echo": 1}


def test_an_api_that_answers_info_has_found_redis(fragile: Deployment) -> None:
    for _ in range(3):
        fragile.services.pop("api").kill()
        fragile.start_api()
        assert fragile.predict({}, Prefer="respond-async").status_code == 200


def test_the_response_mode_survives_a_restart_of_everything(fragile: Deployment) -> None:
    fragile.respond("--async")
    for name in ("api", "denzel", "redis"):
        fragile.services.pop(name).stop()
    fragile.start_redis()
    fragile.start_api()
    fragile.wait(lambda: fragile.predict({}).status_code == 200, "the API has found Redis", 10)
    task_id = fragile.predict({"value": 1}).json()["data"]["task_id"]
    assert fragile.status(task_id)["status"] == "PENDING"
    fragile.start_worker()
    assert fragile.final_status(task_id)["result"] == {"echo": 1}
    fragile.respond("--sync")
    assert fragile.predict({"value": 2}).json() == {"echo": 2}


@pytest.mark.parametrize("prefer", ["wait=2", "respond-async"])
def test_no_answer_shows_where_redis_is_or_promises_too_much(
    fragile: Deployment, prefer: str
) -> None:
    predicts_again(fragile)
    server = fragile.services["redis"].process
    server.send_signal(signal.SIGSTOP)
    try:
        answer = fragile.predict({"value": 1}, Prefer=prefer)
    finally:
        server.send_signal(signal.SIGCONT)
    assert answer.status_code in (503, 504)
    assert str(fragile.redis_socket) not in answer.text
    assert "nothing was queued" not in answer.text  # it may have been
    predicts_again(fragile)
