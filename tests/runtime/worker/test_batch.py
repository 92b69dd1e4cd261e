"""Requests as Celery knows them, and the account of what a worker holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.worker import state

from app.runtime.contract import INVOKE_PREDICT, Request
from app.runtime.store.codecs import encode_stored_request
from app.runtime.store.messages import decode_message
from app.runtime.worker.batch import SHOWN_CHARACTERS, Batch, Batches, PredictionRequest, Told

from ..queues import sync_message

IDS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(3)]
URI = "http://receiver.example/"


@pytest.fixture
def application() -> Iterator[Celery]:
    """Yield a Celery application that knows the task; it opens no connection."""
    with Celery("test", set_as_current=False) as application:

        @application.task(name=INVOKE_PREDICT, shared=False, acks_late=True)
        def invoke_predict(json_data: Any) -> None:
            """Stand for a prediction."""

        yield application
        state.reset_state()


class Revoked:
    """Keeps what was revoked."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def __call__(self, request: PredictionRequest) -> None:
        self.ids.append(request.id)


def make(
    application: Celery, task_id: str = IDS[0], *, payload: bytes = b'{"a":1}',
    stored: bytes | None = None, revoked: Revoked | None = None,
) -> PredictionRequest:  # fmt: skip
    """Return a request as the worker makes it; an asynchronous one where ``stored`` is given."""
    encoded = sync_message(Request(task_id, payload, "owner"))
    return PredictionRequest(
        decode_message(encoded), encoded, is_sync=stored is None, deliveries=1,
        stored=stored or b"", on_revoked=revoked or Revoked(), app=application,
        hostname="worker@test", eventer=None,
    )  # fmt: skip


def test_a_synchronous_request_has_all_that_its_answer_needs(application: Celery) -> None:
    request = make(application)
    assert (request.id, request.payload) == (IDS[0], b'{"a":1}')
    assert (request.api, request.owner, request.callback_uri) == ("api", "owner", None)
    assert request.name == INVOKE_PREDICT


def test_an_asynchronous_ones_payload_is_what_is_stored(application: Celery) -> None:
    request = make(application, stored=encode_stored_request(URI, b'{"b":2}'))
    assert (request.payload, request.callback_uri) == (b'{"b":2}', URI)
    # A large one is left to the process that predicts for it.
    assert make(application, stored=b"").payload is None


def test_arguments_are_shown_and_cut_between_characters(application: Celery) -> None:
    text = '"' + "é" * 300 + '"'
    shown = make(application, payload=text.encode()).argsrepr
    assert text.startswith(shown)
    assert SHOWN_CHARACTERS / 2 - 1 <= len(shown) <= SHOWN_CHARACTERS


def test_celery_knows_what_is_held_and_forgets_it_at_its_end(application: Celery) -> None:
    batches = Batches()
    first = Batch([make(application, each) for each in IDS[:2]], Told.BATCH)
    second = Batch([make(application, IDS[2])], Told.EACH)
    for batch in (first, second):
        batches.add(batch)
    assert (len(batches), batches.count_requests()) == (2, 3)
    assert batches.task_ids() == set(IDS)
    assert {each.id for each in state.reserved_requests} == set(IDS)
    assert batches.running() == []
    first.begin(1, 0.0)
    assert batches.running() == [first]
    assert {each.id for each in state.active_requests} == set(IDS[:2])
    batches.remove(first)
    assert batches.task_ids() == {IDS[2]}
    assert {each.id for each in state.reserved_requests} == {IDS[2]}
    assert not state.active_requests
    batches.remove(first)  # twice is no error
    batches.remove(second)
    assert not batches


def test_a_revoked_request_says_so_once(application: Celery) -> None:
    revoked = Revoked()
    request = make(application, revoked=revoked)
    state.revoked.add(request.id)
    assert request.revoked()
    assert request.revoked()
    assert revoked.ids == [request.id]
    other = make(application, IDS[1], revoked=revoked)
    assert not other.revoked()
    assert revoked.ids == [request.id]
