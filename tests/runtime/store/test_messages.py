"""The messages written by hand, read by the scripts and by the real kombu."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson
import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st
from kombu import Connection, Queue

from app.runtime.contract import INVOKE_PREDICT, Request
from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE
from app.runtime.store.lua_scripts import load_script
from app.runtime.store.messages import (
    INLINE_PAYLOAD_BYTES,
    decode_message,
    marked_alone,
    rest_of_async_message,
)

from ..deployment import Deployment
from ..queues import Api
from ..queues import sync_message as sync_message_of

ID = "4d7ec8ce-6b3a-4d69-a2f2-7c6f6b0c0000"
OWNER = "0123456789abcdef"
PAYLOAD = '{"text":"é ☃ \\" \\\\ \\u0000"}'.encode()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
ALONE = rest_of_async_message(alone=True)


def sync_message(payload: bytes = PAYLOAD, timeout: float = 5.0) -> bytes:
    return sync_message_of(Request(ID, payload, OWNER), "a" * 32, timeout)


def async_message(client: redis.Redis, rest: bytes) -> bytes:
    """Return a message as the scripts make it."""
    make = load_script("messages") + "\nreturn message_for(ARGV[1], time_sent(ARGV[2]), ARGV[3])"
    return bytes(client.eval(make, 0, ID, "1700000000.25", rest))


def as_scripts_read(client: redis.Redis, message: bytes) -> list[Any]:
    """Return id, time, mark, timeout and bytes as the scripts read them."""
    read = load_script("messages") + (
        "\nlocal m = ARGV[1]\n"
        "local timeout, bytes = timeout_and_bytes(m)\n"
        "return cjson.encode({message_id(m) or cjson.null, message_sent(m), is_alone(m),"
        " timeout or cjson.null, bytes or cjson.null})"
    )
    found: list[Any] = orjson.loads(bytes(client.eval(read, 0, message)))
    return found


@example("\0", 5.0)
@given(TEXTS, st.floats(0.001, 1e6))
def test_a_synchronous_message_is_read_as_it_was_written(text: str, timeout: float) -> None:
    payload = orjson.dumps(text)  # as it is, a text that begins with NUL would count as binary
    message = decode_message(sync_message(payload, timeout))
    assert (message.id, message.payload) == (ID, payload)
    assert message.headers["owner"] == OWNER
    assert message.headers["reply_to"] == "a" * 32
    assert message.headers["timeout"] == pytest.approx(timeout, abs=0.001)


def test_a_large_payload_stands_beside_its_message() -> None:
    encoded = sync_message(b"x" * (INLINE_PAYLOAD_BYTES + 1))
    assert len(encoded) < 1000
    message = decode_message(encoded)
    assert message.payload is None
    assert message.headers["bytes"] == INLINE_PAYLOAD_BYTES + 1
    assert decode_message(sync_message(b"x" * INLINE_PAYLOAD_BYTES)).payload is not None


def test_the_scripts_find_what_they_need_in_its_place(client: redis.Redis) -> None:
    large = sync_message(b"x" * 40_000, 1e6)
    for message, expected in (
        (sync_message(), [False, 5.0, len(PAYLOAD)]),
        (marked_alone(sync_message()), [True, 5.0, len(PAYLOAD)]),
        (large, [False, 1e6, 40_000]),
        (marked_alone(large), [True, 1e6, 40_000]),
    ):
        assert as_scripts_read(client, message) == [ID, 1e9, *expected]
    for rest, alone in ((rest_of_async_message(), False), (ALONE, True)):
        message = async_message(client, rest)
        assert as_scripts_read(client, message) == [ID, 1700000000.25, alone, None, None]
        assert decode_message(message).payload == b"null"


def test_a_message_is_marked_once_and_says_the_same(client: redis.Redis) -> None:
    marked = marked_alone(sync_message())
    assert marked_alone(marked) == marked
    before, after = decode_message(sync_message()), decode_message(marked)
    assert after.payload == before.payload
    assert after.headers == {**before.headers, "alone": True}
    assert async_message(client, ALONE) == marked_alone(
        async_message(client, rest_of_async_message())
    )


@pytest.mark.parametrize("queue", [PREDICTIONS_QUEUE, SYNC_QUEUE])
def test_kombu_decodes_what_is_on_the_queues(
    redis_server: Deployment, api: Api, queue: str
) -> None:
    (task_id,) = api.accept() if queue == PREDICTIONS_QUEUE else api.enqueue()
    with Connection(f"redis+socket://{redis_server.redis_socket}") as connection:
        channel = connection.channel()
        message: Any = Queue(queue)(channel).get(accept=["json"])
        assert message is not None
        assert message.headers["id"] == task_id
        assert message.headers["task"] == INVOKE_PREDICT
        arguments, keywords, embedded = message.payload
        assert arguments == [None if queue == PREDICTIONS_QUEUE else {"value": 1}]
        assert keywords == {}
        assert set(embedded) == {"callbacks", "errbacks", "chain", "chord"}
        message.ack()


def broken(**changes: Any) -> bytes:
    """Return a message with another header, or body."""
    message = orjson.loads(sync_message())
    for name, value in changes.items():
        if name == "body":
            message["body"] = value
        else:
            message["headers"][name] = value
    return orjson.dumps(message)


@pytest.mark.parametrize(
    "encoded",
    [
        b"", b"garbage", b"{}", b"[]", b"null", b"1", b'"text"', b"\xff", b'{"headers":[]}',
        b'{"headers":{}}', b'{"headers":{"id":1,"task":2}}', b"{" * 100_000,
        broken(task="somebody.elses"), broken(id=None), broken(id=7), broken(id="x" * 36),
        broken(id=f"{uuid4()}\n"), broken(body=None), broken(body="e30="), broken(body="é"),
        broken(body=[]), broken(body={}), broken(bytes="x"),
    ],
)  # fmt: skip
def test_what_is_no_prediction_is_told_apart(encoded: bytes) -> None:
    with pytest.raises((ValueError, TypeError, LookupError)):
        decode_message(encoded)
