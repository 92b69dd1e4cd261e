"""What goes on, and comes back by itself, while Redis is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import redis
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed
from .receiver import Receiver


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment with every service, whose Redis the tests kill."""
    settings = {
        "API_WORKERS": "2",
        "FLOWER_UNAUTHENTICATED_API": "true",
        "REDIS_PASSWORD": "secret",
        "RECOVERY_SECONDS": "5",
    }
    with deployed(tmp_path_factory.mktemp("shaken"), OBEDIENT, settings) as deployment:
        start_redis(deployment)
        deployment.start_worker()
        deployment.start_api()
        deployment.start_callbacks()
        deployment.start_monitor()
        deployment.wait(lambda: predicts(deployment), "predictions are made", 20)
        yield deployment


def start_redis(deployment: Deployment) -> None:
    """Start Redis, with the password the services know."""
    deployment.start_redis("--requirepass", "secret")


def kill_redis(deployment: Deployment) -> None:
    """End Redis without a warning."""
    deployment.services.pop("redis").kill()


def predicts(deployment: Deployment) -> bool:
    """Tell whether predictions are made whatever API process is asked."""
    answers = [deployment.predict({"value": 1}, Prefer="wait=10") for _ in range(6)]
    return all(answer.status_code == 200 for answer in answers)


def test_everything_that_needs_redis_is_503_at_once(shaken: Deployment) -> None:
    accepted = shaken.accept({"value": 1})
    shaken.final_status(accepted)
    kill_redis(shaken)
    try:
        began = time.monotonic()
        keyed = {"Idempotency-Key": str(uuid4())}
        answers = [
            shaken.predict({"value": 1}, Prefer="respond-async", **keyed),
            shaken.predict({"value": 1}, Prefer="wait=20", **keyed),
            shaken.predict({"value": 1}, Prefer="respond-async, wait=20"),
            requests.get(f"{shaken.url}/status/{accepted}", params={"wait": "20"}, timeout=30),
            requests.post(f"{shaken.url}/cancel/{accepted}", timeout=30),
        ]
        assert time.monotonic() - began < 15  # any of them could have waited for longer
        assert [answer.status_code for answer in answers] == [503] * 5
        for answer in answers:
            assert answer.json()["title"] == "Queue unavailable"
            assert int(answer.headers["Retry-After"]) > 0
        assert requests.get(f"{shaken.url}/info", timeout=10).ok
    finally:
        start_redis(shaken)
    shaken.wait(lambda: predicts(shaken), "predictions are made again", 40)


def test_who_waits_gets_the_answer_once_redis_is_back(shaken: Deployment) -> None:
    body = {"do": "sleep", "seconds": 3}
    asynchronous = shaken.accept({**body, "second": True})
    with ThreadPoolExecutor(2) as clients:
        keyed = clients.submit(
            shaken.predict, body, Prefer="wait=40", **{"Idempotency-Key": str(uuid4())}
        )
        asking = clients.submit(
            requests.get, f"{shaken.url}/status/{asynchronous}", {"wait": "40"}, timeout=60
        )
        shaken.wait_until_begun(asynchronous)
        client = redis.Redis.from_url(shaken.environment["REDIS_URL"], password="secret")
        shaken.wait(lambda: len(client.keys("denzel:watchers:*")) >= 2, "both wait", 10)
        kill_redis(shaken)
        start_redis(shaken)
        assert asking.result().json()["result"] == {"slept": 3}
        assert keyed.result().json() == {"slept": 3}


def test_callbacks_are_sent_again_once_redis_is_back(
    shaken: Deployment, receiver: Receiver
) -> None:
    kill_redis(shaken)
    start_redis(shaken)
    shaken.wait(lambda: predicts(shaken), "predictions are made again", 40)
    path = f"/{uuid4()}"
    shaken.accept({"value": 1, "callback_uri": receiver.url + path})
    shaken.wait(lambda: receiver.requests_to(path), "the callback comes", 20)
    assert shaken.services["callbacks"].is_running()


def test_the_monitor_shows_tasks_again_once_redis_is_back(shaken: Deployment) -> None:
    kill_redis(shaken)
    start_redis(shaken)
    shaken.wait(lambda: predicts(shaken), "predictions are made again", 40)

    def shown() -> bool:
        task_id = shaken.accept({"value": 1})
        shaken.final_status(task_id)
        info = f"{shaken.monitor_url}/api/task/info/{task_id}"
        return requests.get(info, timeout=10).ok

    shaken.wait(shown, "the monitor shows a new task", 40)
    assert shaken.services["monitor"].is_running()


def test_no_service_was_restarted_for_it(shaken: Deployment) -> None:
    assert all(service.is_running() for service in shaken.services.values())
