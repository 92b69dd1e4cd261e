"""The messages the API writes by hand, read by the real kombu and Celery."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
import redis
from celery import Celery
from celery.app.base import Celery as CeleryType
from celery.contrib.testing.worker import start_worker
from kombu import Connection, Queue

from app.runtime.contract import INVOKE_PREDICT, Request
from app.runtime.store.codecs import decode_requests
from app.runtime.store.keys import PREDICTIONS_QUEUE
from app.runtime.store.messages import encode_prediction_message

from ..deployment import Deployment, deployed, wait_until


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment of which only Redis runs."""
    with deployed(tmp_path_factory.mktemp("broker"), None) as deployment:
        deployment.start_redis()
        yield deployment


@pytest.fixture
def send(broker: Deployment) -> Iterator[Callable[..., None]]:
    """Yield a function that puts a message on the queue as the API does."""
    with redis.Redis(unix_socket_path=str(broker.redis_socket)) as client:

        def push(requests: list[Request], **options: Any) -> None:
            options.setdefault("sent", time.time())
            message = encode_prediction_message(requests, "api-1", **options)
            client.lpush(PREDICTIONS_QUEUE, message)

        yield push
        client.delete(PREDICTIONS_QUEUE)


@pytest.fixture
def application(broker: Deployment) -> CeleryType:
    """Return a stock Celery application that knows nothing of denzel but the task's name."""
    application = Celery("stock", set_as_current=False)
    application.conf.broker_url = f"redis+socket://{broker.redis_socket}"
    application.conf.task_default_queue = PREDICTIONS_QUEUE
    application.conf.worker_send_task_events = False
    return application


REQUESTS = [
    Request(str(uuid4()), '{"text":"é ☃ \\" \\\\ \\u0000"}'.encode()),
    Request(str(uuid4()), b"null"),
    Request(str(uuid4()), b'{"a":1}', "http://receiver.example/x?y=z", is_async=True),
    Request(str(uuid4()), b'"' + b"x" * 100_000 + b'"'),
]


def test_kombu_decodes_the_message(broker: Deployment, send: Callable[..., None]) -> None:
    send(REQUESTS)
    with Connection(f"redis+socket://{broker.redis_socket}") as connection:
        queue: Any = Queue(PREDICTIONS_QUEUE)(connection.channel())
        message = queue.get(accept=["json"])
        assert message is not None
        assert message.headers["id"] == REQUESTS[0].id
        assert message.headers["task"] == INVOKE_PREDICT
        (encoded, reply_to), keywords, embedded = message.payload
        assert (reply_to, keywords) == ("api-1", {})
        assert set(embedded) == {"callbacks", "errbacks", "chain", "chord"}
        decoded = decode_requests(encoded)
        assert [each.id for each in decoded] == [each.id for each in REQUESTS]
        assert [each.is_async for each in decoded] == [False, False, True, False]
        # What does not travel in the message stands beside it in Redis.
        assert [each.payload for each in decoded] == [
            REQUESTS[0].payload, REQUESTS[1].payload, None, None,
        ]  # fmt: skip
        message.ack()


def test_a_stock_worker_runs_the_task_under_its_id(
    application: CeleryType, send: Callable[..., None]
) -> None:
    seen: list[tuple[Any, ...]] = []

    @application.task(name=INVOKE_PREDICT, bind=True, shared=False)
    def invoke(self: Any, encoded: Any, reply_to: str) -> None:
        seen.append((self.request.id, decode_requests(encoded)[0].payload, reply_to))

    with start_worker(application, pool="solo", perform_ping_check=False, loglevel="error"):
        for request in REQUESTS[:2]:
            send([request])
        wait_until(lambda: len(seen) == 2, 20, what="both tasks ran")
    assert seen == [(each.id, each.payload, "api-1") for each in REQUESTS[:2]]


def test_a_stock_worker_leaves_out_what_has_expired(
    application: CeleryType, send: Callable[..., None]
) -> None:
    seen: list[str] = []

    @application.task(name=INVOKE_PREDICT, bind=True, shared=False)
    def invoke(self: Any, encoded: Any, reply_to: str) -> None:
        seen.append(self.request.id)

    now = time.time()
    send([REQUESTS[0]], expires=now - 5)
    send([REQUESTS[1]], expires=now + 500)
    with start_worker(application, pool="solo", perform_ping_check=False, loglevel="error"):
        wait_until(lambda: seen, 20, what="a task ran")
    assert seen == [REQUESTS[1].id]


def test_a_message_is_what_celery_itself_would_send(
    broker: Deployment, application: CeleryType, send: Callable[..., None]
) -> None:
    """The same keys at every level; a new version of Celery that adds one fails here."""
    with redis.Redis(unix_socket_path=str(broker.redis_socket)) as client:
        application.send_task(INVOKE_PREDICT, args=[[], "api-1"], queue=PREDICTIONS_QUEUE)
        send([REQUESTS[0]])
        ours, theirs = (orjson.loads(client.rpop(PREDICTIONS_QUEUE)) for _ in range(2))
        if ours["headers"]["id"] != REQUESTS[0].id:
            ours, theirs = theirs, ours
    assert set(ours) == set(theirs)
    assert set(theirs["properties"]) - {"reply_to", "body_encoding"} == set(ours["properties"])
    optional = {"stamped_headers", "stamps", "group_index", "replaced_task_nesting"}
    assert set(theirs["headers"]) - optional <= set(ours["headers"])


@pytest.mark.parametrize("payload", ["é" * 200, "☃" * 300, "x" * 199 + "é"])
def test_the_arguments_shown_are_cut_between_characters(payload: str, tmp_path: Path) -> None:
    message = encode_prediction_message([Request("1", f'"{payload}"'.encode())], "x", sent=0)
    shown = orjson.loads(message)["headers"]["argsrepr"]
    assert f'"{payload}"'.startswith(shown)
    assert len(shown.encode()) <= 200
