"""Whether a deployment works, asked as a client asks."""

from __future__ import annotations

from contextlib import suppress

import pytest
import requests

from denzel.polling import polls

from .receiver import Receiver

ANSWER_SECONDS = 30
CALLBACK_SECONDS = 2
ASYNCHRONOUS = {"Prefer": "respond-async"}


def predicts(url: str) -> bool:
    """Tell whether a new request is accepted and predicted within a second."""
    with suppress(requests.RequestException):
        task_id = _accepted(url, {"number": 0})
        if task_id:
            status = requests.get(f"{url}/status/{task_id}?wait=1", timeout=ANSWER_SECONDS)
            return status.status_code == 200 and status.json()["status"] == "SUCCESS"
    return False


def delivers(url: str, callback_uri: str, receiver: Receiver) -> bool:
    """Tell whether a new request's callback comes within two seconds."""
    with suppress(requests.RequestException):
        task_id = _accepted(url, {"number": 0, "callback_uri": callback_uri})
        return bool(task_id) and any(
            receiver.deliveries.get(task_id) for _ in polls(0.1, timeout=CALLBACK_SECONDS)
        )
    return False


def await_predictions(url: str, seconds: float) -> None:
    """Wait until predictions are made."""
    for _ in polls(0.2, timeout=seconds):
        if predicts(url):
            return
    pytest.fail(f"No prediction within {seconds} s")


def _accepted(url: str, body: dict[str, object]) -> str:
    """Return the id of a request that was accepted, empty if it was not."""
    answer = requests.post(
        f"{url}/predict", json=body, headers=ASYNCHRONOUS, timeout=ANSWER_SECONDS
    )
    return str(answer.json()["data"]["task_id"]) if answer.status_code == 200 else ""
