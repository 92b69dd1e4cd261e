"""How records, requests, replies and modes are laid out in bytes."""

from __future__ import annotations

import orjson
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.contract import FAILURE, NOBODY, PENDING, REVOKED, SUCCESS, Outcome, ResponseMode
from app.runtime.store import codecs
from app.runtime.store.lua_scripts import load_script

from ..queues import Api, take, worker

IDS = st.uuids().map(str)
BODIES = st.binary(max_size=300)  # a body is copied, never looked into
STATES = st.sampled_from([SUCCESS, FAILURE, REVOKED])
OWNERS = st.sampled_from([NOBODY, "0123456789abcdef"])


@given(STATES, OWNERS, BODIES)
def test_a_record_holds_state_owner_and_body(state: str, owner: str, body: bytes) -> None:
    found = codecs.decode_record(codecs.encode_record(state, owner, body))
    assert found == (state, body, owner)
    assert found.is_final
    assert found.started is None


@pytest.mark.parametrize(
    ("record", "started"),
    [(b"PENDING - 0", None), (b"PENDING - 3", None), (b'STARTED - [2,12.345,"lab/h/1"]', 12.345)],
)
def test_an_unfinished_record_tells_when_it_was_begun(record: bytes, started: float | None) -> None:
    found = codecs.decode_record(record)
    assert not found.is_final
    assert found.started == started


@given(st.none() | st.text())
def test_a_stored_request_holds_callback_and_payload(uri: str | None) -> None:
    stored = codecs.encode_stored_request(uri, b'{"a":\n1}')
    assert codecs.decode_stored_request(stored) == (uri, b'{"a":\n1}')


@given(st.lists(st.tuples(IDS, STATES, OWNERS, BODIES), min_size=1, max_size=10))
def test_a_reply_carries_each_outcome_with_its_own_body(
    told: list[tuple[str, str, str, bytes]],
) -> None:
    records = [codecs.encode_record(state, owner, body) for _, state, owner, body in told]
    index = [[task_id, len(record)] for (task_id, *_), record in zip(told, records, strict=True)]
    reply = orjson.dumps(index) + b"\n" + b"".join(records)
    assert codecs.decode_reply(reply) == [
        Outcome(task_id, state, body) for task_id, state, _, body in told
    ]


@pytest.mark.parametrize("mode", [ResponseMode(), ResponseMode(True), ResponseMode(False, 0.25)])
def test_a_response_mode_is_read_as_it_was_stored(mode: ResponseMode) -> None:
    stored = orjson.dumps({"is_async": mode.is_async, "timeout": mode.timeout})
    assert codecs.decode_response_mode(stored) == mode


def test_nothing_stored_is_the_default_mode() -> None:
    assert codecs.decode_response_mode(None) == ResponseMode(is_async=False, timeout=5.0)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (b"PENDING owner 0", [False, "PENDING", "owner", 0, None]),
        (b'STARTED - [2,1700000000.125,"lab/h/1"]', [False, "STARTED", "-", 2, "lab/h/1"]),
        (b'SUCCESS - {"x":["y"]}', [True, "SUCCESS", "-", None, None]),
        (b"FAILURE o {}", [True, "FAILURE", "o", None, None]),
        (b"REVOKED o {}", [True, "REVOKED", "o", None, None]),
    ],
)
def test_the_scripts_read_records_alike(
    client: redis.Redis, record: bytes, told: list[object]
) -> None:
    read = load_script("records") + (
        "\nlocal r = ARGV[1]\n"
        "return cjson.encode({is_final(r) and true or false, state_of(r), owner_of(r),"
        " is_final(r) and cjson.null or deliveries_of(r), holder_of(r) or cjson.null})"
    )
    answer = client.eval(read, 0, record)
    assert orjson.loads(bytes(answer)) == told


def test_the_scripts_write_records_that_are_read(api: Api, client: redis.Redis) -> None:
    (task_id,) = api.accept(owner="0123456789abcdef")
    (before,) = api.find(task_id)
    take(worker(client))
    (after,) = api.find(task_id)
    assert before is not None
    assert after is not None
    assert (before.state, before.owner) == (PENDING, after.owner)
    assert after.started is not None
