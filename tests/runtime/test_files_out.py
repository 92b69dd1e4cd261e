"""Predictions that are bytes, asked of a running deployment."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from denzel.client import Client, UsageError, verify_callback

from .conftest import SECRET
from .deployment import Deployment
from .receiver import Receiver

LARGE = 300_000
"""More than a callback reads at once."""
HUGE = 40_000_000
TYPE = "image/png"


def picture(size: int) -> bytes:
    return (b"\x00{\n\xff" * size)[:size]


def get(deployment: Deployment, path: str) -> requests.Response:
    return requests.get(f"{deployment.url}{path}", timeout=30)


@pytest.mark.parametrize("size", [0, 5, LARGE])
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "draw-{}"}], ids=["plain", "key"])
def test_a_synchronous_answer_is_the_bytes(
    studio: Deployment, size: int, headers: dict[str, str]
) -> None:
    named = {name: text.format(size) for name, text in headers.items()}
    answer = studio.predict({"draw": size}, **named)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, TYPE)
    assert answer.content == picture(size)
    again = get(studio, f"/status/{answer.headers['Denzel-Task-Id']}/result")
    if headers or size <= 5:  # a large synchronous one is its client's alone
        assert (again.content, again.headers["Content-Type"]) == (picture(size), TYPE)


@pytest.mark.parametrize(
    "headers", [{}, {"Idempotency-Key": "huge"}, {"Prefer": "respond-async, wait=20"}],
    ids=["plain", "key", "async"],
)  # fmt: skip
def test_an_answer_may_be_larger_than_a_channel_of_redis_takes(
    studio: Deployment, headers: dict[str, str]
) -> None:
    """Redis hangs up on who has 32 MB to read there, whatever it is that is read."""
    answer = studio.predict({"draw": HUGE}, **headers)
    assert len(answer.content) == HUGE
    task_id = answer.headers["Denzel-Task-Id"]
    if headers:
        assert studio.status(task_id)["file"]["bytes"] == HUGE
        assert len(get(studio, f"/status/{task_id}/result").content) == HUGE
    else:  # it was answered, and takes no memory any more
        studio.wait(lambda: get(studio, f"/status/{task_id}").status_code == 404, "it is gone", 20)
    assert "has closed the connection" not in studio.services["api"].output()


def test_the_same_pipeline_may_answer_json(studio: Deployment) -> None:
    answer = studio.predict({"a": 1})
    assert (answer.headers["Content-Type"], answer.json()) == ("application/json", {"a": 1})


@pytest.mark.parametrize("size", [5, LARGE])
def test_status_tells_where_the_bytes_are(studio: Deployment, size: int) -> None:
    task_id = studio.accept({"draw": size})
    assert studio.final_status(task_id) == {
        "status": "SUCCESS",
        "result": None,
        "file": {"content_type": TYPE, "bytes": size, "url": f"/status/{task_id}/result"},
    }
    answer = get(studio, f"/status/{task_id}/result")
    assert (answer.content, answer.headers["Content-Type"]) == (picture(size), TYPE)
    assert answer.headers["Denzel-Task-Id"] == task_id


def test_a_result_by_itself_is_what_a_waiting_client_is_answered(studio: Deployment) -> None:
    as_json = studio.accept({"a": 1})
    failing = studio.accept({"draw": None})
    for task_id in (as_json, failing):
        studio.final_status(task_id)
    running = studio.accept({"draw": 1, "seconds": 4})
    studio.wait_until_begun(running)
    queued = studio.accept({"draw": 1})
    cancelled = requests.post(f"{studio.url}/cancel/{queued}", timeout=10)
    assert cancelled.status_code == 200, cancelled.text
    found: dict[str, Any] = {
        name: get(studio, f"/status/{task_id}/result")
        for name, task_id in {
            "json": as_json, "failing": failing, "running": running, "cancelled": queued,
            "unknown": "none",
        }.items()
    }  # fmt: skip
    assert found["json"].json() == {"a": 1}
    titles = {name: (each.status_code, each.json().get("title")) for name, each in found.items()}
    assert titles["failing"] == (500, "Prediction failed")
    assert titles["running"] == (404, "No result yet")
    assert titles["cancelled"] == (409, "Prediction cancelled")
    assert titles["unknown"] == (404, "Unknown task")
    assert "predict must return a dict, not NoneType" in found["failing"].json()["description"]
    studio.final_status(running)


@pytest.mark.parametrize("size", [5, LARGE])
def test_a_callback_is_the_bytes_signed(studio: Deployment, receiver: Receiver, size: int) -> None:
    path = f"/200/picture/{size}"
    studio.accept({"draw": size, "callback_uri": f"{receiver.url}{path}"})
    studio.wait(lambda: receiver.requests_to(path), "the callback")
    (came,) = receiver.requests_to(path)
    assert (came.headers["Content-Type"], came.body) == (TYPE, picture(size))
    assert verify_callback(SECRET, came.headers, came.body).result == picture(size)
    failing = "/200/picture/failing"
    studio.accept({"draw": None, "callback_uri": f"{receiver.url}{failing}"})
    studio.wait(lambda: receiver.requests_to(failing), "the failure's callback")
    (came,) = receiver.requests_to(failing)
    assert came.headers["Content-Type"] == "application/json"
    assert json.loads(came.body)["status"] == "FAILURE"


def test_the_client_gets_bytes(studio: Deployment) -> None:
    with Client(studio.url) as client:
        assert client.predict({"draw": 5}) == picture(5)
        task_id = client.submit({"draw": LARGE})
        assert client.result(task_id) == picture(LARGE)
        with pytest.raises(UsageError, match=r"client\.result\(\) fetches it"):
            client.status(task_id).prediction()
        assert client.predict(b"a,b", content_type="text/csv")["type"] == "text/csv"
        assert client.result(client.submit({"a": 1})) == {"a": 1}


def test_bytes_without_a_declared_type_are_told_what_to_do(lab: Deployment) -> None:
    answer = lab.predict({"do": "just bytes"})
    assert answer.status_code == 500
    assert 'such as RESPONSE_CONTENT_TYPE = "image/png"' in answer.json()["description"]
