"""How ``/predict``, ``/status`` and ``/info`` answer a running deployment's users."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import redis
import requests

from .deployment import Deployment

SLOW = {"do": "sleep", "seconds": 1.5}


@pytest.fixture
def sync_afterwards(lab: Deployment) -> Iterator[None]:
    """Put the response mode back to its default."""
    yield
    lab.respond("--sync")


def test_a_sync_answer_is_predicts_dict_itself(lab: Deployment) -> None:
    answer = lab.predict({"value": {"a": [1, 2.5, "é", None, True]}})
    assert answer.status_code == 200
    assert answer.content == '{"echo":{"a":[1,2.5,"é",null,true]}}'.encode()
    assert answer.headers["Content-Type"] == "application/json"


def test_a_sync_answer_carries_the_id_of_its_task(lab: Deployment) -> None:
    answer = lab.predict({"value": 1})
    task_id = answer.headers["Denzel-Task-Id"]
    assert str(UUID(task_id)) == task_id
    assert lab.status(task_id) == {"status": "SUCCESS", "result": {"echo": 1}}


def test_each_request_has_an_id_of_its_own(lab: Deployment) -> None:
    ids = {lab.predict({"value": 1}).headers["Denzel-Task-Id"] for _ in range(20)}
    assert len(ids) == 20


def test_an_async_answer_is_exactly_the_tutorials(lab: Deployment) -> None:
    answer = lab.predict({"value": 1}, Prefer="respond-async")
    task_id = answer.headers["Denzel-Task-Id"]
    assert answer.status_code == 200
    assert answer.content == b'{"status":"success","data":{"task_id":"%b"}}' % task_id.encode()
    assert answer.headers["Content-Type"] == "application/json"


def test_when_the_async_answer_comes_the_task_is_in_redis(lab: Deployment) -> None:
    client = redis.Redis(unix_socket_path=str(lab.redis_socket))
    for _ in range(50):
        task_id = lab.accept({"do": "echo"})
        assert client.exists(f"denzel:task:{task_id}")
    client.close()


def test_an_async_answer_does_not_wait_for_the_prediction(lab: Deployment) -> None:
    with lab.occupied() as (task_id,):
        assert lab.status(task_id)["status"] == "PENDING"
    assert lab.final_status(task_id) == {"status": "SUCCESS", "result": {"waited": True}}


def test_status_is_pending_until_the_end_and_tells_when_it_was_begun(lab: Deployment) -> None:
    before = datetime.now(UTC)
    with lab.occupied(2) as occupied:
        waiting = lab.accept({"value": 7})
        shown = lab.status(occupied[0])
        begun = datetime.fromisoformat(shown.pop("started"))
        assert shown == {"status": "PENDING", "result": None}
        assert before - timedelta(seconds=1) < begun < datetime.now(UTC)
        assert lab.status(waiting) == {"status": "PENDING", "result": None}
    assert lab.final_status(waiting) == {"status": "SUCCESS", "result": {"echo": 7}}


def test_status_shows_a_failure_as_the_tutorial_does(lab: Deployment) -> None:
    status = lab.final_status(lab.accept({"process": "fail"}))
    assert status["status"] == "FAILURE"
    assert status["result"]["args"] == ["name 'np' is not defined"]
    assert status["result"]["type"] == "NameError"


def test_a_sync_failure_names_type_and_message_and_stays_pollable(lab: Deployment) -> None:
    answer = lab.predict({"do": "NameError"})
    assert answer.status_code == 500
    assert answer.json() == {
        "title": "Prediction failed",
        "description": "NameError: name 'np' is not defined",
    }
    status = lab.status(answer.headers["Denzel-Task-Id"])
    assert (status["status"], status["result"]["args"]) == (
        "FAILURE",
        ["name 'np' is not defined"],
    )


@pytest.mark.parametrize(
    "path",
    ["1c0f1f4e-8d5c-4a51-9f43-2f6c0d9f7b1e", "x", "%ff", "%00", "a%0d%0aX-Injected:%20b", "é"],
)
def test_status_of_an_unknown_id_is_404(lab: Deployment, path: str) -> None:
    answer = requests.get(f"{lab.url}/status/{path}", timeout=10)
    assert answer.status_code == 404
    assert answer.json()["title"] == "Unknown task"
    assert "X-Injected" not in answer.headers


# The response mode


def test_a_sync_request_that_takes_too_long_is_504_and_stays_pollable(
    lab: Deployment, sync_afterwards: None
) -> None:
    lab.respond("--sync", "--timeout", "0.4")
    started = time.monotonic()
    answer = lab.predict(SLOW)
    assert time.monotonic() - started >= 0.4
    assert answer.status_code == 504
    body = answer.json()
    assert body["title"] == "Prediction timed out"
    assert body["task_id"] == answer.headers["Denzel-Task-Id"]
    assert f"/status/{body['task_id']}" in body["description"]
    assert lab.status(body["task_id"])["status"] == "PENDING"
    assert lab.final_status(body["task_id"]) == {"status": "SUCCESS", "result": {"slept": 1.5}}


def test_the_first_request_after_a_change_obeys_it(lab: Deployment, sync_afterwards: None) -> None:
    """With three API processes, any of which may get the next request."""
    with ThreadPoolExecutor(12) as clients:
        for _ in range(6):
            lab.respond("--async")
            answers = clients.map(lambda _: lab.predict({"value": 1}).json(), range(12))
            assert all("task_id" in answer.get("data", {}) for answer in answers)
            lab.respond("--sync")
            answers = clients.map(lambda _: lab.predict({"value": 1}).json(), range(12))
            assert all(answer == {"echo": 1} for answer in answers)


def api_processes(lab: Deployment) -> set[int]:
    return {note["pid"] for note in lab.trace("import") if "gunicorn" in note["program"]}


def test_all_three_api_processes_answer(lab: Deployment) -> None:
    """What makes the test above worth something."""
    assert len(api_processes(lab)) == 3


def test_a_change_waits_for_the_slowest_api_process(lab: Deployment, sync_afterwards: None) -> None:
    slowest = next(iter(api_processes(lab)))
    os.kill(slowest, signal.SIGSTOP)
    try:
        command = (sys.executable, "-m", "app.runtime.admin", "response", "--async")
        change = lab.start("control", *command)
        with pytest.raises(subprocess.TimeoutExpired):
            change.process.wait(2.5)
    finally:
        os.kill(slowest, signal.SIGCONT)
    assert change.process.wait(20) == 0, change.output()
    del lab.services["control"]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--async", "--sync"], ["--sync", "--timeout", "0"], ["--sync", "--timeout", "nan"],
     ["--sync", "--timeout", "-1"], ["--sync", "--timeout", "soon"]],
)  # fmt: skip
def test_a_response_mode_that_makes_no_sense_is_refused(
    lab: Deployment, arguments: list[str]
) -> None:
    refused = lab.run("-m", "app.runtime.admin", "response", *arguments)
    assert refused.returncode in (1, 2)
    assert refused.stderr.strip()
    assert "Traceback" not in refused.stderr
    assert lab.predict({"value": 1}).json() == {"echo": 1}


# Prefer (RFC 7240)


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("respond-async", "respond-async"),
        ("RESPOND-ASYNC", "respond-async"),
        ("handling=lenient, respond-async", "respond-async"),
        ("respond-async;foo=bar", "respond-async"),
    ],
)
def test_a_request_may_prefer_an_async_answer(lab: Deployment, prefer: str, applied: str) -> None:
    answer = lab.predict({"value": 1}, Prefer=prefer)
    assert answer.json()["status"] == "success"
    assert answer.headers["Preference-Applied"] == applied


def test_a_request_may_prefer_to_wait_in_async_mode(lab: Deployment, sync_afterwards: None) -> None:
    lab.respond("--async")
    answer = lab.predict({"value": 1}, Prefer="wait=10")
    assert answer.json() == {"echo": 1}
    assert answer.headers["Preference-Applied"] == "wait=10"


def test_a_request_may_prefer_to_wait_less(lab: Deployment) -> None:
    answer = lab.predict(SLOW, Prefer="wait=1")
    assert answer.status_code == 504
    assert lab.final_status(answer.json()["task_id"])["status"] == "SUCCESS"


def test_a_request_may_prefer_to_wait_longer(lab: Deployment, sync_afterwards: None) -> None:
    lab.respond("--sync", "--timeout", "0.2")
    assert lab.predict(SLOW, Prefer="wait=10").json() == {"slept": 1.5}


def test_a_wait_that_ends_falls_back_to_the_async_answer(lab: Deployment) -> None:
    answer = lab.predict(SLOW, Prefer="respond-async, wait=1")
    assert answer.status_code == 200
    assert answer.json()["status"] == "success"
    assert lab.final_status(answer.json()["data"]["task_id"])["status"] == "SUCCESS"


def test_a_wait_that_suffices_gives_the_prediction(lab: Deployment) -> None:
    answer = lab.predict({"value": 1}, Prefer="respond-async, wait=10")
    assert answer.json() == {"echo": 1}


def test_not_waiting_at_all_still_queues_an_async_request(lab: Deployment) -> None:
    for _ in range(10):
        answer = lab.predict({"value": 1}, Prefer="respond-async, wait=0")
        task_id = answer.headers["Denzel-Task-Id"]
        assert lab.final_status(task_id) == {"status": "SUCCESS", "result": {"echo": 1}}


def test_a_sync_request_that_waits_for_nothing_is_504_and_ends(lab: Deployment) -> None:
    answers = [lab.predict({"value": 1}, Prefer="wait=0") for _ in range(10)]
    # One may be made before its timing out is noted; all of them would be if they were waited for.
    late = [each for each in answers if each.status_code == 504]
    assert late
    assert {each.status_code for each in answers} <= {200, 504}
    for each in late:
        assert lab.final_status(each.json()["task_id"])["status"] in ("SUCCESS", "REVOKED")


def test_slow_predictions_do_not_keep_quick_ones_from_being_begun(lab: Deployment) -> None:
    """How long the last ones took says little of the next."""
    ids = [lab.accept({"do": "sleep", "seconds": 3}) for _ in range(4)]
    for each in ids:
        lab.final_status(each)
    for _ in range(5):
        assert lab.predict({"value": 1}, Prefer="wait=1").json() == {"echo": 1}


@pytest.mark.parametrize(
    "prefer", ["wait=soon", "wait=-1", "wait", "wait=1e9", "respondasync", "=;,=", "wait=١"]
)
def test_a_preference_that_is_not_understood_is_ignored(lab: Deployment, prefer: str) -> None:
    answer = requests.post(
        f"{lab.url}/predict", json={"value": 1}, headers={"Prefer": prefer.encode()}, timeout=10
    )
    assert answer.json() == {"echo": 1}
    assert "Preference-Applied" not in answer.headers


# /info


def test_info_is_read_afresh_as_utf_8_text(lab: Deployment) -> None:
    path = lab.directory / "app" / "assets" / "info.txt"
    original = path.read_bytes()
    try:
        for text in ("Iris ██╗ é\n", "another\n", ""):
            path.write_text(text, encoding="utf-8")
            answer = requests.get(f"{lab.url}/info", timeout=10)
            assert answer.status_code == 200
            assert answer.content == text.encode()
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        path.unlink()
        answer = requests.get(f"{lab.url}/info", timeout=10)
        assert answer.status_code == 404
        assert set(answer.json()) == {"title", "description"}
    finally:
        path.write_bytes(original)
    assert requests.get(f"{lab.url}/info", timeout=10).content == original


# Everything else is a JSON error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/nothing/here", 404),
        ("GET", "/status", 404),
        ("POST", "/status/x", 405),
        ("GET", "/predict", 405),
        ("PUT", "/predict", 405),
        ("POST", "/info", 405),
    ],
)
def test_falcons_own_errors_have_the_same_form(
    lab: Deployment, method: str, path: str, status: int
) -> None:
    answer = requests.request(method, lab.url + path, timeout=10)
    assert answer.status_code == status
    assert set(answer.json()) == {"title", "description"}
    assert path in answer.json()["description"]
    assert answer.headers["Content-Type"] == "application/json"
    if status == 405:
        assert answer.headers["Allow"] in answer.json()["description"]


def test_keep_alive_serves_many_requests(lab: Deployment) -> None:
    with requests.Session() as session:
        for number in range(50):
            answer = session.post(f"{lab.url}/predict", json={"value": number}, timeout=10)
            assert answer.json() == {"echo": number}


def test_concurrent_requests_get_their_own_answers(lab: Deployment) -> None:
    """Failing ones among them."""

    def ask(number: int) -> bool:
        body = {"value": number, **({"process": "fail"} if number % 7 == 0 else {})}
        answer = lab.predict(body)
        if number % 7 == 0:
            return answer.status_code == 500 and "np" in answer.json()["description"]
        return bool(json.loads(answer.content) == {"echo": number})

    with ThreadPoolExecutor(24) as clients:
        assert all(clients.map(ask, range(300)))
