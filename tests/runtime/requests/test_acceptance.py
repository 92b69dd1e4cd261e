"""Requests are put on their queues: accept, accept_once, enqueue_sync, abandon, time_out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from app.runtime.contract import NOBODY, REVOKED, Request
from app.runtime.requests.acceptance import TIMED_OUT_SECONDS
from app.runtime.requests.errors import KeyReused, QueueFull
from app.runtime.store.codecs import decode_stored_request
from app.runtime.store.keys import (
    PREDICTIONS_QUEUE,
    SYNC_QUEUE,
    payload_key,
    request_key,
    task_key,
)
from app.runtime.store.messages import INLINE_PAYLOAD_BYTES, decode_message

from ..deployment import Deployment, deployed
from ..queues import WORK_CHANNEL, Api, record, states, sync_message, take, worker

OWNER = "0123456789abcdef"
MANY = 2_500
"""More than go into one command."""
LARGE = b'"' + b"x" * INLINE_PAYLOAD_BYTES + b'"'


def queued(client: Any, queue: str) -> list[str]:
    """Return the ids on a queue, the next one to be taken first."""
    return [decode_message(each).id for each in reversed(client.lrange(queue, 0, -1))]


# accept


def test_what_is_accepted_is_on_the_queue_with_its_record_and_its_request(
    api: Api, client: Any
) -> None:
    (task_id,) = api.accept(owner=OWNER, callback_uri="http://receiver.example/x?y=z")
    assert queued(client, PREDICTIONS_QUEUE) == [task_id]
    found = record(client, task_id)
    assert found is not None
    assert (found.state, found.owner, found.started) == ("PENDING", OWNER, None)
    stored = decode_stored_request(client.get(request_key(task_id)))
    assert stored == ("http://receiver.example/x?y=z", b'{"value": 1}')
    assert client.ttl(task_key(task_id)) == client.ttl(request_key(task_id)) == -1


def test_many_are_accepted_together_and_keep_their_order(api: Api, client: Any) -> None:
    ids = api.accept(MANY)
    assert queued(client, PREDICTIONS_QUEUE) == ids
    assert states(client, ids) == ["PENDING"] * MANY


def test_no_more_are_accepted_than_may_be_queued(redis_server: Deployment, client: Any) -> None:
    api = Api(redis_server.environment["REDIS_URL"], max_queue=5)
    first, second, third = api.accept(3), api.accept(4), api.accept(1)
    assert (len(first), len(second), len(third)) == (3, 2, 0)
    assert queued(client, PREDICTIONS_QUEUE) == first + second
    assert len(client.keys("denzel:task:*")) == len(client.keys("denzel:request:*")) == 5
    api.close()


def test_workers_are_notified_when_there_is_something_and_when_a_batch_is_full(api: Api) -> None:
    api.accept(1)
    assert len(api.hear(WORK_CHANNEL)) == 1
    api.accept(2)
    assert api.hear(WORK_CHANNEL) == []
    api.accept(5)  # eight are a full batch
    assert len(api.hear(WORK_CHANNEL)) == 1
    api.enqueue(1)
    assert len(api.hear(WORK_CHANNEL)) == 1
    api.enqueue(6)
    assert api.hear(WORK_CHANNEL) == []
    api.enqueue(1)
    assert len(api.hear(WORK_CHANNEL)) == 1


@pytest.mark.parametrize("kind", ["accept", "enqueue"])
def test_without_memory_nothing_is_accepted(api: Api, client: Any, kind: str) -> None:
    client.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        getattr(api, kind)()
    client.config_set("maxmemory", 0)
    assert client.keys("*") == []


def test_a_script_that_redis_has_forgotten_is_sent_again(api: Api, client: redis.Redis) -> None:
    api.accept()
    client.script_flush()
    assert len(api.accept()) == 1
    assert len(api.accept()) == 1
    assert client.llen(PREDICTIONS_QUEUE) == 3


# accept_once


def claim(api: Api, key: str, body: bytes = b"body") -> tuple[str, bool]:
    """Accept a request with an Idempotency-Key; return its id and whether it was the first."""
    request = Request(str(uuid4()), b'{"value": 1}', OWNER)
    found = api.do(api.acceptance.accept_once(request, key, body))
    return found.task_id, found.is_new


def test_a_key_stands_for_one_request(api: Api, client: Any) -> None:
    task_id, is_new = claim(api, "key")
    assert is_new
    assert claim(api, "key") == (task_id, False)
    assert queued(client, PREDICTIONS_QUEUE) == [task_id]
    found = record(client, task_id)
    assert found is not None
    assert (found.state, found.owner) == ("PENDING", OWNER)
    other, is_new = claim(api, "another")
    assert is_new
    assert other != task_id


def test_a_key_with_another_body_is_refused(api: Api, client: Any) -> None:
    claim(api, "key")
    with pytest.raises(KeyReused):
        claim(api, "key", b"another")
    assert client.llen(PREDICTIONS_QUEUE) == 1


def test_a_key_whose_record_has_expired_is_accepted_again_under_its_id(
    api: Api, client: Any
) -> None:
    task_id, _ = claim(api, "key")
    client.delete(task_key(task_id), PREDICTIONS_QUEUE)
    assert claim(api, "key") == (task_id, True)
    assert queued(client, PREDICTIONS_QUEUE) == [task_id]


def test_a_full_queue_does_not_use_up_a_key(redis_server: Deployment, client: Any) -> None:
    api = Api(redis_server.environment["REDIS_URL"], max_queue=1)
    api.accept()
    with pytest.raises(QueueFull):
        claim(api, "key")
    client.delete(PREDICTIONS_QUEUE)
    assert claim(api, "key")[1]
    api.close()


# enqueue_sync


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Deployment]:
    """Yield a Redis whose file the test reads."""
    with deployed(tmp_path / "project", None) as deployment:
        deployment.start_redis("--appendfsync", "always")
        yield deployment


def written(client: Any) -> int:
    """Return how many bytes Redis has written for what it was given so far."""
    return int(client.info("persistence")["aof_current_size"])


def test_nothing_of_a_synchronous_request_is_written(lasting: Deployment) -> None:
    api = Api(lasting.environment["REDIS_URL"])
    client = redis.Redis.from_url(lasting.environment["REDIS_URL"])
    queue = worker(client)
    before = written(client)
    small, large = api.enqueue(1), api.enqueue(1, payload=LARGE)
    assert take(queue)[0] == small + large
    queue.requeue_sync(small, [take_back(client, api, small[0])], is_begun=False)
    api.do(api.acceptance.abandon(small[0], 5))
    api.do(api.acceptance.time_out(large[0], NOBODY))
    take(queue)
    assert written(client) == before
    api.accept()
    assert written(client) > before
    api.close()
    client.close()


def take_back(client: Any, api: Api, task_id: str) -> bytes:
    """Return a message such as a worker has of a request that it took."""
    return sync_message(Request(task_id, b"null"), api.name, 60)


def test_synchronous_requests_keep_their_order_and_payloads(api: Api, client: Any) -> None:
    first, large = api.enqueue(MANY), api.enqueue(1, payload=LARGE)
    assert queued(client, SYNC_QUEUE) == first + large
    messages = [decode_message(each) for each in reversed(client.lrange(SYNC_QUEUE, 0, -1))]
    assert {each.payload for each in messages[:-1]} == {b'{"value": 1}'}
    assert messages[-1].payload is None
    assert client.get(payload_key(large[0])) == LARGE
    assert 0 < client.ttl(payload_key(large[0])) <= 60 + TIMED_OUT_SECONDS
    assert client.keys("denzel:task:*") == []


def test_the_time_of_sending_is_rediss(api: Api, client: Any) -> None:
    seconds, micro = client.time()
    api.enqueue()
    api.accept()
    for queue in (SYNC_QUEUE, PREDICTIONS_QUEUE):
        sent = float(decode_message(client.lindex(queue, 0)).headers["sent"])
        assert -0.001 <= sent - (seconds + micro / 1e6) < 10


# abandon and time_out


def test_a_request_whose_client_has_gone_is_never_begun(api: Api, client: Any) -> None:
    gone, here = api.enqueue(2)
    api.do(api.acceptance.abandon(gone, 5))
    assert take(worker(client))[0] == [here]
    assert states(client, [gone, here]) == [REVOKED, None]
    assert not client.exists("denzel:abandoned")


def test_what_was_begun_before_its_client_had_gone_is_forgotten(api: Api, client: Any) -> None:
    """However often that happens: the memory of it must not grow for ever."""
    client.zadd("denzel:abandoned", {"old": client.time()[0] - 1})
    first, second = api.enqueue(2)
    take(worker(client))
    api.do(api.acceptance.abandon(first, 30))
    api.do(api.acceptance.abandon(second, 2))
    found = client.zrange("denzel:abandoned", 0, -1, withscores=True)
    assert [task_id for task_id, _ in found] == [second.encode(), first.encode()]
    assert found[0][1] <= client.time()[0] + 3
    assert 20 < client.ttl("denzel:abandoned") <= 30


def test_a_request_that_timed_out_can_be_asked_for(api: Api, client: Any) -> None:
    (task_id,) = api.enqueue()
    assert api.find(task_id) == [None]
    api.do(api.acceptance.time_out(task_id, OWNER))
    (found,) = api.find(task_id)
    assert found is not None
    assert (found.state, found.owner, found.started) == ("PENDING", OWNER, None)
    assert 0 < client.ttl(task_key(task_id)) <= TIMED_OUT_SECONDS


def test_a_time_out_does_not_hide_an_outcome(api: Api, client: Any) -> None:
    client.set(task_key("id"), b"SUCCESS - {}")
    api.do(api.acceptance.time_out("id", NOBODY))
    assert client.get(task_key("id")) == b"SUCCESS - {}"
