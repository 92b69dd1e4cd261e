"""Callbacks, as a real HTTP receiver gets them."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from .deployment import Deployment
from .ports import free_port
from .receiver import Receiver


def received(lab: Deployment, receiver: Receiver, path: str, count: int = 1) -> list[bytes]:
    """Wait until so many callbacks came to a path; return their bodies."""
    lab.wait(lambda: len(receiver.requests_to(path)) >= count, f"{count} callbacks to {path}", 20)
    return [each.body for each in receiver.requests_to(path)]


def test_the_callback_is_a_post_of_predicts_dict(lab: Deployment, receiver: Receiver) -> None:
    path = f"/{uuid4()}/stash?key=1"
    task_id = lab.accept({"do": "tutorial", "callback_uri": receiver.url + path})
    assert received(lab, receiver, path) == [b'{"a":"Iris-setosa","b":"Iris-virginica"}']
    headers = receiver.requests_to(path)[0].headers
    assert headers["Content-Type"] == "application/json"
    assert headers["Denzel-Task-Id"] == task_id
    assert lab.final_status(task_id)["status"] == "SUCCESS"


def test_the_callback_comes_once_and_after_the_result_is_stored(
    lab: Deployment, receiver: Receiver
) -> None:
    path = f"/{uuid4()}"
    bodies = [{"value": number, "callback_uri": receiver.url + path} for number in range(30)]
    ids = [lab.accept(body) for body in bodies]
    answers = received(lab, receiver, path, 30)
    assert sorted(json.loads(each)["echo"] for each in answers) == list(range(30))
    for request in receiver.requests_to(path):
        assert lab.status(request.headers["Denzel-Task-Id"])["status"] == "SUCCESS"
    assert sorted(each.headers["Denzel-Task-Id"] for each in receiver.requests_to(path)) == sorted(
        ids
    )


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": str(uuid4())}, {"Prefer": "wait=9"}])
def test_a_sync_answer_sends_no_callback(
    lab: Deployment, receiver: Receiver, headers: dict[str, str]
) -> None:
    path = f"/{uuid4()}"
    answer = lab.predict({"value": 1, "callback_uri": receiver.url + path}, **headers)
    assert answer.json() == {"echo": 1}
    # A callback that was sent after the answer would come before those of later requests.
    later = f"/{uuid4()}"
    for number in range(4):
        lab.accept({"value": number, "callback_uri": receiver.url + later})
    received(lab, receiver, later, 4)
    assert receiver.requests_to(path) == []


def test_the_callback_goes_where_verify_input_says(lab: Deployment, receiver: Receiver) -> None:
    """Where it says nothing, the request's is taken."""
    requested, elsewhere, unsaid = (f"/{uuid4()}" for _ in range(3))
    body = {"value": 1, "callback_uri": receiver.url + requested}
    lab.accept({**body, "verify": "elsewhere", "elsewhere": receiver.url + elsewhere})
    lab.accept({**body, "verify": "unsaid", "callback_uri": receiver.url + unsaid})
    # What is not used is not checked.
    lab.accept({"verify": "elsewhere", "callback_uri": 3, "elsewhere": receiver.url + elsewhere})
    received(lab, receiver, elsewhere, 2)
    received(lab, receiver, unsaid)
    lab.final_status(lab.accept({**body, "verify": "elsewhere", "elsewhere": None}))
    assert receiver.requests_to(requested) == []
    bad = {**body, "verify": "elsewhere", "elsewhere": "http://metadata.google.internal/"}
    assert lab.predict(bad, Prefer="respond-async").status_code == 400


def test_the_pipeline_sees_the_callback_uri(lab: Deployment, receiver: Receiver) -> None:
    """The tutorial's verify_input asks for it."""
    body = {"verify": "KeyError", "callback_uri": receiver.url}
    assert lab.predict(body).json()["description"] == "KeyError: 'missing'"


def test_receivers_that_fail_break_nothing(lab: Deployment, receiver: Receiver) -> None:
    broken = [
        f"{receiver.url}/500/x",
        f"{receiver.url}/404/x",
        f"{receiver.url}/302/x",
        f"{receiver.url}/reset/x",
        f"{receiver.url}/slow/x",
        f"http://127.0.0.1:{free_port()}/nobody",
        "http://no-such-host.invalid/",
        "http://[::1]:1/",
        "http://" + "x" * 300 + ".example/",
        "http://a..b/",
        "http://exa mple/",
        "http://x\u0000y/",
        "https://127.0.0.1:1/",
    ]
    for uri in broken:
        answer = lab.predict({"value": 1, "callback_uri": uri}, Prefer="respond-async")
        assert answer.status_code in (200, 400), uri
        if answer.status_code == 200:
            status = lab.final_status(answer.json()["data"]["task_id"], timeout=30)
            assert (status["status"], status["result"]) == ("SUCCESS", {"echo": 1})
    assert lab.predict({"value": 2}, Prefer="wait=20").json() == {"echo": 2}


def test_a_redirect_is_not_followed(lab: Deployment, receiver: Receiver) -> None:
    path = f"/302/{uuid4()}"
    lab.accept({"value": 1, "callback_uri": receiver.url + path})
    received(lab, receiver, path)
    later = f"/{uuid4()}"
    for number in range(4):
        lab.accept({"value": number, "callback_uri": receiver.url + later})
    received(lab, receiver, later, 4)
    assert receiver.requests_to("/redirected") == []


def test_status_tells_how_a_callback_fares_but_not_what_the_inside_network_answers(
    lab: Deployment, receiver: Receiver
) -> None:
    refused = f"http://127.0.0.1:{free_port()}/"
    for uri, state, status in (
        (f"{receiver.url}/{uuid4()}", "DELIVERED", 200),
        (f"{receiver.url}/404/{uuid4()}", "FAILED", 404),
        (refused, "PENDING", None),
    ):
        task_id = lab.accept({"value": 1, "callback_uri": uri})

        def tried(task_id: str = task_id) -> dict[str, Any] | None:
            callback: dict[str, Any] = lab.status(task_id).get("callback", {})
            return callback if callback.get("attempts") else None

        callback = lab.wait(tried, f"an attempt at {uri}", 20)
        assert callback is not None
        assert (callback["state"], callback["attempts"]) == (state, 1)
        assert (callback["uri"], callback["last_status"]) == (uri, status)
        assert (callback["next_at"] is None) == (state != "PENDING")
        assert "last_error" not in callback
