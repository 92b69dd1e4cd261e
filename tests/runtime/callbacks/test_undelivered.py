"""Callbacks nobody took: listed, sent again, dropped, as ``denzel callbacks`` does."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
import redis

from app.runtime.callbacks.undelivered import Undelivered

from ..deployment import Deployment
from ..ports import free_port
from ..receiver import Receiver


def manage(lab: Deployment, *arguments: str) -> Any:
    """Run the program behind ``denzel callbacks``; return what it prints."""
    done = lab.run("-m", "app.runtime.admin", "callbacks", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def listed(lab: Deployment, task_id: str, state: str) -> dict[str, Any]:
    """Wait until a callback is listed in a state and was tried; return its line."""

    def find() -> dict[str, Any] | None:
        found = [each for each in manage(lab) if each["task_id"] == task_id]
        tried = found and found[0]["state"] == state and found[0]["attempts"]
        return found[0] if tried else None

    line = lab.wait(find, f"the callback of {task_id} is {state}", 20)
    assert line is not None
    return line


@pytest.fixture
def refused(lab: Deployment, receiver: Receiver) -> tuple[str, str]:
    """Return a task whose callback was given up, and where the callback went."""
    path = f"/404/{uuid4()}"
    task_id = lab.accept({"value": 1, "callback_uri": receiver.url + path})
    listed(lab, task_id, "FAILED")
    return task_id, path


def test_one_that_is_given_up_is_listed_and_shown(
    lab: Deployment, receiver: Receiver, refused: tuple[str, str]
) -> None:
    task_id, path = refused
    line = listed(lab, task_id, "FAILED")
    assert line["uri"] == receiver.url + path
    assert (line["attempts"], line["last_status"], line["next_at"]) == (1, 404, None)
    assert "404" in line["last_error"]
    assert line["expires_at"] == pytest.approx(line["last_at"] + 604800, abs=1)
    shown = lab.status(task_id)["callback"]
    assert (shown["state"], shown["attempts"], shown["last_status"]) == ("FAILED", 1, 404)
    manage(lab, "--drop", task_id)


def test_one_that_waits_for_its_next_try_is_listed(lab: Deployment) -> None:
    uri = f"http://127.0.0.1:{free_port()}/"
    task_id = lab.accept({"value": 1, "callback_uri": uri})
    line = listed(lab, task_id, "PENDING")
    assert line["next_at"] > line["last_at"]
    assert line["last_status"] is None
    assert line["expires_at"] is None
    manage(lab, "--drop", task_id)


def test_retry_sends_it_again_from_the_start(
    lab: Deployment, receiver: Receiver, refused: tuple[str, str]
) -> None:
    task_id, path = refused
    assert manage(lab, "--retry", task_id) == {"count": 1}
    lab.wait(lambda: len(receiver.requests_to(path)) == 2, "it is sent again", 10)
    ids = {each.headers["webhook-id"] for each in receiver.requests_to(path)}
    assert len(ids) == 1
    assert listed(lab, task_id, "FAILED")["attempts"] == 1
    manage(lab, "--drop", task_id)


def test_all_of_them_can_be_sent_again_and_dropped(lab: Deployment, receiver: Receiver) -> None:
    paths = [f"/404/{uuid4()}" for _ in range(3)]
    ids = [lab.accept({"value": 1, "callback_uri": receiver.url + path}) for path in paths]
    for task_id in ids:
        listed(lab, task_id, "FAILED")
    assert manage(lab, "--retry", "all")["count"] >= 3
    for path in paths:
        lab.wait(lambda path=path: len(receiver.requests_to(path)) == 2, "it is sent again", 10)  # type: ignore[misc]
    assert manage(lab, "--drop", "all")["count"] >= 3
    assert manage(lab) == []
    for task_id in ids:
        assert lab.status(task_id) == {"status": "SUCCESS", "result": {"echo": 1}}


def test_one_that_is_dropped_while_it_is_sent_stays_dropped(
    lab: Deployment, receiver: Receiver
) -> None:
    path = f"/slow/{uuid4()}"
    task_id = lab.accept({"value": 1, "callback_uri": receiver.url + path})
    client = redis.Redis.from_url(lab.environment["REDIS_URL"])
    undelivered = Undelivered(client, result_ttl=60)
    lab.wait(lambda: receiver.requests_to(path), "it is being sent", 10)
    assert undelivered.drop([task_id]) == 1
    output = lab.services["callbacks"].output
    lab.wait(lambda: f"Callback of {task_id}" in output(), "the attempt is over", 10)
    assert manage(lab) == []
    assert lab.status(task_id) == {"status": "SUCCESS", "result": {"echo": 1}}


def test_an_unknown_id_is_an_error(lab: Deployment) -> None:
    for change in ("--retry", "--drop"):
        done = lab.run("-m", "app.runtime.admin", "callbacks", change, "no-such-task")
        assert done.returncode == 1
        assert done.stderr == "Callbacks: there is no callback of a task no-such-task\n"
