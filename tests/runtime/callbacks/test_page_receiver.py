"""The page's own receiver, on a running deployment."""

from __future__ import annotations

from uuid import uuid4

import pytest
import requests

from app.runtime.callbacks.page_receiver import token_of

from ..deployment import Deployment

URI = "http://page.denzel.invalid/"


def received(lab: Deployment, token: str) -> requests.Response:
    return requests.get(f"{lab.url}/page/received/{token}", timeout=10)


@pytest.mark.parametrize("outcome", ["SUCCESS", "FAILURE"])
def test_the_page_is_shown_what_a_receiver_would_get(lab: Deployment, outcome: str) -> None:
    token = str(uuid4())
    assert received(lab, token).status_code == 404
    asked = {"value": [1, 2]} if outcome == "SUCCESS" else {"do": "two arguments"}
    task_id = lab.accept({**asked, "callback_uri": URI + token})
    lab.wait(lambda: received(lab, token).ok, "it is delivered", 20)
    shown = received(lab, token).json()
    assert shown["headers"]["Denzel-Task-Id"] == shown["headers"]["webhook-id"] == task_id
    assert shown["headers"]["Denzel-Status"] == outcome
    assert shown["headers"]["Content-Type"] == "application/json"
    assert shown["bytes"] == len(shown["body"])
    assert ("echo" in shown["body"]) == (outcome == "SUCCESS")


def test_a_large_callback_is_told_of_but_not_kept(lab: Deployment) -> None:
    token = str(uuid4())
    lab.accept({"value": "x" * 100_000, "callback_uri": URI + token})
    lab.wait(lambda: received(lab, token).ok, "it is delivered", 20)
    shown = received(lab, token).json()
    assert shown["body"] is None
    assert shown["bytes"] > 100_000


@pytest.mark.parametrize(
    "uri",
    [
        "https://page.denzel.invalid/0b1c2d3e-0000-4000-8000-000000000000",
        "http://page.denzel.invalid/",
        "http://page.denzel.invalid/0b1c2d3e-0000-4000-8000-000000000000/x",
        "http://page.denzel.invalid.example/0b1c2d3e-0000-4000-8000-000000000000",
        "http://page.denzel.invalid/denzel:task:00000000-0000-4000-8000",
    ],
)
def test_no_other_uri_leads_there(uri: str) -> None:
    assert token_of(uri) is None
