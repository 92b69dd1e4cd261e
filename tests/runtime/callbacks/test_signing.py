"""Signatures, checked with Standard Webhooks' own verifier."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.runtime.callbacks.signing import new_secret, parse_secrets, signature_headers

from ..template import TEMPLATE

BODY = '{"a": "é",\n "b":1.0 }'.encode()


def test_receiver_verifies_the_exact_bytes() -> None:
    secret = new_secret()
    headers = signature_headers(parse_secrets(secret), "task_1-x", int(time.time()), BODY)
    assert Webhook(secret).verify(BODY, headers) == {"a": "é", "b": 1.0}
    for wrong in (BODY + b" ", BODY.replace(b"\n", b"")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(wrong, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, {**headers, "webhook-id": "task_2"})


def test_known_signature() -> None:
    """The example of the Standard Webhooks specification, "Signature scheme"."""
    secrets = parse_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature_headers(
        secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_every_secret_signs_so_that_one_can_be_replaced() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = signature_headers(parse_secrets(f"{new} {old}"), "id", int(time.time()), BODY)
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, headers)


def test_without_a_secret_there_is_an_id_but_no_signature() -> None:
    headers = signature_headers(parse_secrets(""), "id", 5, BODY)
    assert headers == {"webhook-id": "id", "webhook-timestamp": "5"}


def test_secrets_are_random() -> None:
    assert len({new_secret() for _ in range(10)}) == 10
    assert len(parse_secrets(new_secret())[0]) == 32


@pytest.mark.parametrize(
    "text",
    ["secret", "whsec_", "whsec_c2hvcnQ=", "whsec_!" + "A" * 44, "A" * 44, "whsec_" + "A" * 88],
)
def test_bad_secret_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="callback secret") as refusal:
        parse_secrets(text)
    assert text.removeprefix("whsec_") not in str(refusal.value) or text in ("secret", "whsec_")


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a\n", "\u00e9", "a" * 129])
def test_id_that_would_blur_what_is_signed_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="webhook-id"):
        signature_headers((), message_id, 5, BODY)


def test_a_secret_is_made_where_no_packages_are_installed() -> None:
    """``denzel startproject`` makes it before the runtime's requirements are there."""
    program = "import app.runtime.callbacks.signing as s; print(s.new_secret())"
    made = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, '.'); {program}"],
        cwd=TEMPLATE, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert parse_secrets(made.stdout)
