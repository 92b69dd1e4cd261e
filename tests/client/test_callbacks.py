"""The check of a callback, against the standard's own library, which signs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from denzel.client import Callback, InvalidCallback, UsageError, verify_callback
from denzel.templates.project.app.runtime.callbacks.signing import new_secret

SECRET = new_secret()
BODY = json.dumps({"a123": "Iris-setosa", "größe": 1}).encode()


def signed(secret: str, *, age: float = 0) -> dict[str, str]:
    """Return the headers of a callback that was sent ``age`` seconds ago."""
    moment = datetime.now(UTC) - timedelta(seconds=age)
    return {
        "Webhook-Id": "task-1",
        "Webhook-Timestamp": str(int(moment.timestamp())),
        "Webhook-Signature": Webhook(secret).sign("task-1", moment, BODY.decode()),
    }


def test_a_genuine_callback_is_what_was_predicted() -> None:
    callback = verify_callback(SECRET, signed(SECRET), BODY)
    assert callback == Callback("task-1", "SUCCESS", {"a123": "Iris-setosa", "größe": 1})
    failed = verify_callback(SECRET, {**signed(SECRET), "denzel-status": "FAILURE"}, BODY)
    assert failed.state == "FAILURE"


def test_any_of_several_secrets_and_signatures_will_do() -> None:
    old, new = new_secret(), new_secret()
    assert verify_callback(f"{new} {old}", signed(old), BODY).task_id == "task-1"
    signatures = " ".join(signed(secret)["Webhook-Signature"] for secret in (new, old))
    both = {**signed(new), "Webhook-Signature": signatures}
    assert verify_callback(old, both, BODY).task_id == "task-1"


@pytest.mark.parametrize(
    ("changes", "body", "said"),
    [
        (lambda: signed(new_secret()), BODY, "not one of this secret"),
        (dict, BODY + b" ", "not one of this secret"),
        (lambda: {"Webhook-Id": "task-2"}, BODY, "not one of this secret"),
        (lambda: {"Webhook-Signature": "v1,\u00e9"}, BODY, "not one of this secret"),
        (lambda: signed(SECRET, age=400), BODY, "more than 300 s ago"),
        (lambda: signed(SECRET, age=-400), BODY, "more than 300 s ago"),
        (lambda: {"Webhook-Timestamp": "soon"}, BODY, "more than 300 s ago"),
        (lambda: {"Webhook-Timestamp": "9" * 400}, BODY, "more than 300 s ago"),
        (lambda: {"Webhook-Timestamp": "9" * 5000}, BODY, "more than 300 s ago"),
        (lambda: {"Webhook-Id": ""}, BODY, "has no webhook-id"),
    ],
)
def test_anything_else_is_refused(
    changes: Callable[[], dict[str, str]], body: bytes, said: str
) -> None:
    with pytest.raises(InvalidCallback, match=said):
        verify_callback(SECRET, {**signed(SECRET), **changes()}, body)


@pytest.mark.parametrize("secret", ["", "whsec_", "secret"])
def test_a_secret_that_is_none_is_told(secret: str) -> None:
    with pytest.raises(UsageError, match="secret"):
        verify_callback(secret, signed(SECRET), BODY)
