"""A process predicts for a batch: what is large it reads, what has ended it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis

from app.runtime.contract import FAILURE, NOBODY, SUCCESS, Outcome
from app.runtime.pipeline.loading import Pipeline
from app.runtime.pipeline.time_limit import TimeLimit
from app.runtime.requests.outcomes import OutcomeStore
from app.runtime.store.codecs import decode_reply
from app.runtime.store.keys import (
    CALLBACKS_DUE_KEY,
    callback_key,
    payload_key,
    reply_channel,
    request_key,
)
from app.runtime.store.messages import INLINE_PAYLOAD_BYTES
from app.runtime.worker import context
from app.runtime.worker.context import WorkerContext
from app.runtime.worker.run_batch import SHOWN_BYTES, WorkItem, run_batch

from ..deployment import Deployment
from ..queues import RESULT_SECONDS, Api, record, states, take, worker

LARGE = b'"' + b"x" * INLINE_PAYLOAD_BYTES + b'"'
URI = "http://receiver.example/"


def predict(model: Any, data: Any) -> dict[str, Any]:
    if data == "fail":
        raise NameError("name 'np' is not defined")
    return {"size": len(data)}


def process(model: Any, data: Any) -> Any:
    return data


def predict_batch(model: Any, batch: list[Any]) -> Sequence[Any]:
    return [predict(model, each) for each in batch]


def use(client: redis.Redis, *, batching: bool) -> None:
    """Have this process predict."""
    pipeline = Pipeline(dict, dict, process, predict, predict_batch if batching else None)
    outcomes = OutcomeStore(client, "lab/host/1", RESULT_SECONDS)
    context.set_context(WorkerContext(pipeline, None, outcomes, TimeLimit(0), "lab"))


@pytest.fixture(params=[False, True])
def batching(client: redis.Redis, request: pytest.FixtureRequest) -> Iterator[bool]:
    use(client, batching=request.param)
    yield request.param
    context._context.clear()


@pytest.fixture
def api(redis_server: Deployment, client: redis.Redis) -> Iterator[Api]:
    process = Api(redis_server.environment["REDIS_URL"])
    yield process
    process.close()


def asynchronous(task_id: str, payload: bytes | None, uri: str | None = None) -> WorkItem:
    return WorkItem(task_id, payload, "", "", uri)


def synchronous(task_id: str, payload: bytes | None) -> WorkItem:
    return WorkItem(task_id, payload, "api", NOBODY, None)


def told(api: Api) -> list[Outcome]:
    return [each for data in api.hear(reply_channel("api")) for each in decode_reply(data)]


def test_each_asynchronous_request_gets_its_own_outcome(
    api: Api, client: Any, batching: bool
) -> None:
    good, bad, large = *api.accept(2), *api.accept(1, payload=LARGE, callback_uri=URI)
    take(worker(client))
    items = [
        asynchronous(good, b'"ab"', URI), asynchronous(bad, b'"fail"'), asynchronous(large, None),
    ]  # fmt: skip
    result = run_batch(items, False, True)
    assert states(client, [good, bad, large]) == [SUCCESS, FAILURE, SUCCESS]
    found = record(client, large)
    assert found is not None
    assert found.body == b'{"size":%d}' % INLINE_PAYLOAD_BYTES
    assert [each and each[0] for each in result.results] == [True, False, True]
    assert result.results[0] == (True, '{"size":2}')
    assert (result.has_predict_batch, result.seconds > 0) == (batching, True)
    # Also where the URI stands with what is large.
    assert set(client.zrange(CALLBACKS_DUE_KEY, 0, -1)) == {good.encode(), large.encode()}
    assert client.hget(callback_key(large), "uri") == URI.encode()


@pytest.mark.usefixtures("batching")
def test_what_was_cancelled_meanwhile_is_left_out(api: Api, client: redis.Redis) -> None:
    """What is told of the others is not told of it."""
    cancelled, other = *api.accept(payload=LARGE), *api.accept()
    take(worker(client))
    client.delete(request_key(cancelled))
    result = run_batch([asynchronous(cancelled, None)], False, True)
    assert (result.results, result.seconds) == ([None], 0.0)
    result = run_batch([asynchronous(cancelled, None), asynchronous(other, b'"ab"')], False, True)
    assert result.results == [None, (True, '{"size":2}')]


@pytest.mark.usefixtures("batching")
def test_synchronous_outcomes_are_told_and_large_payloads_are_gone(
    api: Api, client: redis.Redis
) -> None:
    small, large = *api.enqueue(1), *api.enqueue(1, payload=LARGE)
    take(worker(client))
    run_batch([synchronous(small, b'"ab"'), synchronous(large, None)], True, False)
    assert {each.id: each.body for each in told(api)} == {
        small: b'{"size":2}', large: b'{"size":%d}' % INLINE_PAYLOAD_BYTES,
    }  # fmt: skip
    assert not client.exists(payload_key(large))


@pytest.mark.usefixtures("batching")
def test_a_large_payload_that_has_expired_fails_alone(api: Api, client: redis.Redis) -> None:
    small, large = *api.enqueue(1), *api.enqueue(1, payload=LARGE)
    take(worker(client))
    client.delete(payload_key(large))
    result = run_batch([synchronous(large, None), synchronous(small, b'"ab"')], True, False)
    assert result.results == [(False, ""), (True, "")]
    found = {each.id: each for each in told(api)}
    assert found[small].state == SUCCESS
    assert found[large].state == FAILURE
    assert b"expired" in found[large].body


@pytest.mark.usefixtures("batching")
def test_no_more_is_shown_than_is_asked_for(api: Api, client: redis.Redis) -> None:
    (task_id,) = api.accept()
    take(worker(client))
    result = run_batch([asynchronous(task_id, b'"fail"')], False, False)
    assert result.results == [(False, "")]
    (shown,) = run_batch([asynchronous(task_id, LARGE)], False, True).results
    assert shown is not None
    assert len(shown[1]) <= SHOWN_BYTES
