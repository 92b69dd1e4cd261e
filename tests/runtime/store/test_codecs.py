"""How requests, outcomes and modes are laid out in bytes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtime import contract
from app.runtime.contract import Outcome, Request, ResponseMode
from app.runtime.store import codecs
from app.runtime.store.codecs import Reply

IDS = st.uuids().map(str)
BODIES = st.binary(max_size=300)  # a body is copied, never looked into
STATES = st.sampled_from([contract.SUCCESS, contract.FAILURE])
OUTCOMES = st.lists(st.builds(Outcome, IDS, STATES, BODIES), min_size=1, max_size=10)


@given(IDS, st.floats(0, 1e6), OUTCOMES)
def test_a_reply_carries_each_outcome_with_its_own_body(
    group: str, seconds: float, outcomes: list[Outcome]
) -> None:
    reply = Reply(group, seconds, outcomes)
    assert codecs.decode_reply(codecs.encode_reply(reply)) == reply


@given(STATES, BODIES)
def test_a_record_holds_state_and_body(state: str, body: bytes) -> None:
    assert codecs.decode_record(codecs.encode_record(state, body)) == (state, body)


@given(IDS, st.none() | st.text(), st.booleans())
def test_a_stored_request_holds_callback_and_payload(
    task_id: str, uri: str | None, is_async: bool
) -> None:
    request = Request(task_id, b'{"a":\n1}', uri, is_async)
    stored = codecs.encode_stored_request(request)
    assert codecs.decode_stored_request(task_id, stored, is_async) == request


@pytest.mark.parametrize("mode", [ResponseMode(), ResponseMode(True), ResponseMode(False, 0.25)])
def test_a_response_mode_is_read_as_it_was_stored(mode: ResponseMode) -> None:
    stored = orjson.dumps({"is_async": mode.is_async, "timeout": mode.timeout})
    assert codecs.decode_response_mode(stored) == mode


def test_nothing_stored_is_the_default_mode() -> None:
    assert codecs.decode_response_mode(None) == ResponseMode(is_async=False, timeout=5.0)


class Hostile:
    """An object that will not be shown."""

    def __str__(self) -> str:
        """Refuse, and not with an Exception."""
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ((), []),
        (("name 'np' is not defined",), ["name 'np' is not defined"]),
        ((1, 2.5, None, True, ["a"], {"b": 1}), [1, 2.5, None, True, ["a"], {"b": 1}]),
        ((b"bytes", {1}, 1j), ["b'bytes'", "{1}", "1j"]),
        (("\ud800",), ["?"]),
        ((2**70,), [str(2**70)]),
        ((10**5000,), ["<int without a text>"]),
        ((Hostile(),), ["<Hostile without a text>"]),
    ],
)
def test_a_failure_shows_its_arguments_as_json_can(arguments: Any, shown: list[Any]) -> None:
    failure = orjson.loads(contract.failure_body(ValueError(*arguments)))
    assert failure == {"args": shown, "type": "ValueError"}
