"""Requests that are no JSON, sent to a running deployment."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from .deployment import ANSWER_SECONDS, Deployment
from .receiver import Receiver

NOISE = bytes(range(256)) * 1000
"""More than fits into a message on the queue."""
SMALL = b"\xff\xd8\x00\n\r\n--"


def digest(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def post(deployment: Deployment, **options: Any) -> requests.Response:
    return requests.post(f"{deployment.url}/predict", timeout=ANSWER_SECONDS, **options)


def sent_raw(deployment: Deployment, body: bytes, content_type: str, **headers: str) -> Any:
    headers = {"Content-Type": content_type, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return post(deployment, data=body, headers=headers)


@pytest.mark.parametrize("content", [SMALL, NOISE, b""], ids=["small", "large", "empty"])
@pytest.mark.parametrize("prefer", ["wait=60", "respond-async"])
def test_a_file_arrives_as_it_was_sent(studio: Deployment, content: bytes, prefer: str) -> None:
    answer = sent_raw(studio, content, "Image/JPEG", Prefer=prefer)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    if prefer == "respond-async":
        found = studio.final_status(found["data"]["task_id"])["result"]
    assert found == {"type": "image/jpeg", "raw": digest(content)}


def test_a_form_of_texts_and_files_arrives(studio: Deployment) -> None:
    files = [("size", (None, "64")), ("image", ("a.jpg", NOISE)), ("image", ("b.jpg", SMALL))]
    answer = post(studio, files=files)
    assert answer.json() == {
        "type": "multipart/form-data", "size": "64", "image": [digest(NOISE), digest(SMALL)]
    }  # fmt: skip


def test_curl_sends_files(studio: Deployment, tmp_path: Path) -> None:
    cat = tmp_path / "cat.jpg"
    cat.write_bytes(NOISE)
    url = f"{studio.url}/predict"
    for options in (
        ["-F", f"image=@{cat}"],
        ["--data-binary", f"@{cat}", "-H", "Content-Type: image/jpeg"],
    ):
        done = subprocess.run(["curl", "-sS", url, *options], capture_output=True, check=True)
        assert digest(NOISE)["sha256"].encode() in done.stdout


def test_json_is_json_as_ever(studio: Deployment) -> None:
    for content_type in ("application/json", "application/x-www-form-urlencoded", "a/b+json", ""):
        assert sent_raw(studio, b'{"a": 1}', content_type).json() == {"a": 1}
    answer = sent_raw(studio, b"{", "application/json")
    assert (answer.status_code, answer.json()["title"]) == (400, "Malformed JSON")


@pytest.mark.parametrize(
    ("text", "status", "title", "description"),
    [
        ("refuse: too dark", 400, "Bad input format", "refuse: too dark"),
        ("raise", 400, "Bad input format", "KeyError: 'missing'"),
        ("nothing", 500, "Broken pipeline", "parse_request returned None"),
    ],
)
def test_what_parse_request_raises_is_told(
    studio: Deployment, text: str, status: int, title: str, description: str
) -> None:
    answer = sent_raw(studio, text.encode(), "text/plain; charset=utf-8")
    assert (answer.status_code, answer.json()["title"]) == (status, title)
    assert description in answer.json()["description"]
    if text == "raise":
        assert "parse_request raised KeyError" in studio.services["api"].output()


def test_a_form_that_is_none_is_refused(studio: Deployment) -> None:
    answer = sent_raw(studio, b"no form", "multipart/form-data; boundary=x")
    assert (answer.status_code, answer.json()["title"]) == (400, "Bad input format")


def test_a_slow_parse_request_goes_into_threads(studio: Deployment) -> None:
    for _ in range(4):
        assert sent_raw(studio, b"slow", "text/plain").json()["text"] == "slow"
    assert "it runs in" in studio.services["api"].output()
    assert sent_raw(studio, b"refuse", "text/plain").status_code == 400


@pytest.mark.parametrize("place", ["form", "query"])
def test_a_callback_uri_beside_a_file(studio: Deployment, receiver: Receiver, place: str) -> None:
    uri = f"{receiver.url}/200/{place}"
    prefer = {"Prefer": "respond-async"}
    if place == "form":
        files = {"callback_uri": (None, uri), "image": ("a.jpg", SMALL)}
        answer = post(studio, files=files, headers=prefer)
    else:
        headers = {**prefer, "Content-Type": "image/jpeg"}
        answer = post(studio, data=SMALL, params={"callback_uri": uri}, headers=headers)
    assert answer.status_code == 200, answer.text
    studio.wait(lambda: receiver.requests_to(f"/200/{place}"), "the callback")
    wrong = post(
        studio, data=b"", params={"callback_uri": "ftp://x"},
        headers={"Content-Type": "a/b", "Prefer": "respond-async"},
    )  # fmt: skip
    assert (wrong.status_code, wrong.json()["title"]) == (400, "Bad input format")


def test_a_form_sent_again_is_predicted_once(studio: Deployment) -> None:
    key = {"Idempotency-Key": "form-1"}
    image = {"image": ("a.jpg", NOISE)}
    first, again = (post(studio, files=image, headers=key) for _ in range(2))
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.json() == again.json()
    other = post(studio, files={"image": ("a.jpg", SMALL)}, headers=key)
    assert other.status_code == 422


@pytest.mark.parametrize("beside", ["Content-Type", "callback_uri"])
def test_a_key_does_not_stand_for_what_is_asked_otherwise(studio: Deployment, beside: str) -> None:
    """The same bytes as another kind of file, or for another receiver, are another request."""
    headers = {"Content-Type": "image/png", "Idempotency-Key": f"otherwise-{beside}"}
    first, again = (post(studio, data=NOISE, headers=headers) for _ in range(2))
    assert (again.status_code, again.headers["Denzel-Task-Id"]) == (
        first.status_code,
        first.headers["Denzel-Task-Id"],
    )
    parameters = {}
    if beside == "callback_uri":
        parameters = {"callback_uri": "http://receiver.example/other"}
    else:
        headers["Content-Type"] = "image/jpeg"
    other = post(studio, data=NOISE, headers=headers, params=parameters)
    assert (other.status_code, other.json()["title"]) == (422, "Idempotency-Key reused")


def test_a_file_of_a_killed_worker_is_predicted_by_the_next(studio: Deployment) -> None:
    studio.services["denzel"].kill()
    answer = sent_raw(studio, SMALL, "image/jpeg", Prefer="respond-async")
    studio.start_worker()
    task_id = answer.json()["data"]["task_id"]
    assert studio.final_status(task_id)["result"]["raw"] == digest(SMALL)


def test_without_parse_request_a_file_is_told_what_is_taken(lab: Deployment) -> None:
    answer = sent_raw(lab, SMALL, "image/jpeg")
    assert (answer.status_code, answer.json()["title"]) == (400, "Malformed JSON")
    assert "It came as image/jpeg, but this model takes JSON alone" in answer.json()["description"]
    assert sent_raw(lab, b'{"value": 1}', "text/plain").status_code == 200
