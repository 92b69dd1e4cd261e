"""The figures of a whole deployment, from any of its API processes."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from .conftest import OBEDIENT
from .deployment import Deployment, deployed
from .receiver import Receiver

KEY = "metrics-key-0123456789"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment with metrics and three API processes."""
    settings = {"METRICS_KEY": KEY, "API_WORKERS": "3"}
    with deployed(tmp_path_factory.mktemp("measured"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.start_callbacks()
        deployment.wait_for_worker()
        yield deployment


def scrape(deployment: Deployment) -> dict[str, float]:
    """Return each sample of ``/metrics``, by its name and sorted labels."""
    answer = requests.get(
        f"{deployment.url}/metrics", headers={"Authorization": f"Bearer {KEY}"}, timeout=10
    )
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        f"{sample.name} {' '.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))}": value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        for value in [sample.value]
    }


def wait_for_value(deployment: Deployment, name: str, value: float) -> dict[str, float]:
    """Scrape until a sample has a value; return all."""

    def found() -> dict[str, float] | None:
        samples = scrape(deployment)
        return samples if samples.get(name, 0) == value else None

    samples = deployment.wait(found, f"{name} is {value}", 30)
    assert samples is not None
    return samples


def test_what_api_processes_and_worker_count_adds_up(
    measured: Deployment, receiver: Receiver
) -> None:
    for value in range(20):
        assert measured.predict({"value": value}).ok  # each on a connection, so of any process
    assert measured.predict({"do": "NameError"}).status_code == 500
    path = f"/{uuid4()}"
    task = measured.accept({"value": 1, "callback_uri": receiver.url + path})
    measured.final_status(task)
    requests.get(f"{measured.url}/no/such/path", timeout=10)

    http = "denzel_http_requests_total method={} route={} status={}"
    wait_for_value(measured, http.format("POST", "/predict", 500), 1)
    wait_for_value(measured, http.format("POST", "/predict", 200), 21)
    wait_for_value(measured, http.format("GET", "other", 404), 1)
    wait_for_value(measured, "denzel_predictions_total kind=async outcome=SUCCESS", 1)
    wait_for_value(
        measured, "denzel_callback_attempts_total outcome=delivered receiver=loopback", 1
    )
    samples = wait_for_value(measured, "denzel_predictions_total kind=sync outcome=SUCCESS", 20)
    assert samples["denzel_predictions_total kind=sync outcome=FAILURE"] == 1
    assert samples["denzel_http_request_duration_seconds_count route=/predict"] == 22
    assert samples["denzel_queue_duration_seconds_bucket kind=sync le=+Inf"] == 21
    assert samples["denzel_batch_size_sum kind=sync"] == 21
    assert 0 < samples["denzel_prediction_duration_seconds_sum kind=sync"] < 30
    worker = next(name for name in samples if name.startswith("denzel_worker_up"))
    assert "worker=worker@lab" in worker
    assert samples[worker] == 1
    memory = {
        name.split("service=")[1]: v for name, v in samples.items() if "_memory_bytes h" in name
    }
    assert set(memory) == {"api", "callbacks", "denzel"}
    assert all(value > 2**20 for value in memory.values())
    assert samples["denzel_redis_up "] == 1


def test_what_waits_is_told_with_its_age(measured: Deployment) -> None:
    with measured.occupied():
        for _ in range(3):
            measured.accept({"value": 1})
        samples = scrape(measured)
        assert samples["denzel_queue_length kind=async"] == 3
        assert samples["denzel_requests_held kind=async"] == 1
        age = "denzel_queue_oldest_seconds kind=async"
        measured.wait(lambda: scrape(measured)[age] > 1, "the oldest has waited for a second", 10)
        load = requests.get(f"{measured.url}/health/load", timeout=10).json()
    assert load["ready"] is True
    assert load["queues"]["async"]["length"] == 3
    assert load["queues"]["async"]["oldest_seconds"] > 1
    assert load["queues"]["sync"]["queue_seconds"]["count"] > 0


def test_metrics_need_their_own_key(measured: Deployment) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-API-Key": KEY + "x"}):
        answer = requests.get(f"{measured.url}/metrics", headers=headers, timeout=10)
        assert answer.status_code == 401
        assert "METRICS_KEY" in answer.json()["description"]


def test_while_redis_is_away_metrics_say_that(measured: Deployment) -> None:
    measured.services.pop("redis").kill()
    measured.wait(lambda: scrape(measured) == {"denzel_redis_up ": 0.0}, "Redis is told away", 20)
    measured.start_redis()
    measured.wait(lambda: scrape(measured).get("denzel_redis_up ") == 1, "Redis is back", 20)


def test_without_a_key_nothing_is_counted_and_there_is_no_such_endpoint(lab: Deployment) -> None:
    assert requests.get(f"{lab.url}/metrics", timeout=10).status_code == 404
