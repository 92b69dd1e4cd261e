"""A worker's side of the queues: which requests are taken, and in which batches."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from app.runtime.contract import REVOKED
from app.runtime.requests.worker_queue import NOTHING, Demand
from app.runtime.store.codecs import decode_stored_request
from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE
from app.runtime.store.messages import INLINE_PAYLOAD_BYTES, decode_message

from ..queues import QUEUES, Api, held, lapse, record, states, take, worker

OWNER = "0123456789abcdef"
MANY = 2_500
FULL = Demand(size=4000, wait=0.0, seconds=0.0, free=1)
LARGE = b'"' + b"x" * INLINE_PAYLOAD_BYTES + b'"'
HUGE = b'"' + b"x" * (3 * 2**20) + b'"'


def test_an_empty_queue_gives_nothing(client: redis.Redis) -> None:
    ids, taken = take(worker(client))
    assert (ids, taken) == ([], NOTHING)


def test_an_asynchronous_request_is_begun_and_held(api: Api, client: Any) -> None:
    (task_id,) = api.accept(owner=OWNER, callback_uri="http://receiver.example")
    ids, taken = take(worker(client))
    assert (ids, taken.is_sync) == ([task_id], False)
    ((_, deliveries, stored),) = taken.requests
    assert deliveries == 1
    assert decode_stored_request(stored) == ("http://receiver.example", b'{"value": 1}')
    found = record(client, task_id)
    assert found is not None
    assert (found.state, found.owner) == ("STARTED", OWNER)
    assert found.started == pytest.approx(client.time()[0], abs=10)
    assert held(client) == {task_id}


def test_a_synchronous_request_is_held_and_leaves_no_record(api: Api, client: Any) -> None:
    (task_id,) = api.enqueue()
    ids, taken = take(worker(client))
    assert (ids, taken.is_sync) == ([task_id], True)
    assert decode_message(taken.requests[0][0]).payload == b'{"value": 1}'
    assert held(client) == {task_id}
    assert record(client, task_id) is None


@pytest.mark.parametrize("queue", QUEUES)
def test_the_first_come_are_taken_first_and_no_more_than_are_asked_for(
    api: Api, client: Any, queue: str
) -> None:
    ids = api.put(queue, MANY)
    assert take(worker(client), Demand(3, 0.0, 0.0, 1))[0] == ids[:3]
    assert take(worker(client), FULL)[0] == ids[3:]
    assert held(client) == set(ids)


def test_the_queue_asked_for_comes_first_and_the_other_when_it_is_empty(
    api: Api, client: Any
) -> None:
    (sync,), (asynchronous,) = api.enqueue(), api.accept()
    assert take(worker(client), first_queue=PREDICTIONS_QUEUE)[0] == [asynchronous]
    assert take(worker(client), first_queue=PREDICTIONS_QUEUE)[0] == [sync]


def test_what_waits_is_shared_among_the_processes_that_are_free(api: Api, client: Any) -> None:
    ids = api.enqueue(9)
    assert take(worker(client), Demand(100, 0.0, 0.0, free=4))[0] == ids[:3]


@pytest.mark.parametrize("queue", QUEUES)
def test_a_batch_ends_when_it_holds_enough_bytes(api: Api, client: Any, queue: str) -> None:
    ids = api.put(queue, 5, payload=HUGE)
    assert take(worker(client))[0] == ids[:2]
    assert take(worker(client))[0] == ids[2:4]
    assert take(worker(client))[0] == ids[4:]


def test_a_large_request_is_not_read_by_the_main_process(api: Api, client: Any) -> None:
    small, large = api.accept(payload=b"1"), api.accept(payload=LARGE)
    _, taken = take(worker(client))
    assert [stored for _, _, stored in taken.requests] == [b"null\n1", b""]
    assert held(client) == {*small, *large}


def test_a_cancelled_request_is_not_taken(api: Api, client: Any) -> None:
    first, cancelled, last = api.accept(3)
    assert api.cancel(cancelled)
    assert take(worker(client))[0] == [first, last]
    assert states(client, [cancelled]) == [REVOKED]


def test_a_request_marked_alone_is_taken_alone(api: Api, client: Any) -> None:
    queue = worker(client)
    for kind in QUEUES:
        ids = api.put(kind, 4)
        _, taken = take(queue, Demand(2, 0.0, 0.0, 1), kind)
        messages = [message for message, _, _ in taken.requests]
        if kind == PREDICTIONS_QUEUE:
            queue.requeue(ids[:2], is_begun=True)
        else:
            queue.requeue_sync(ids[:2], messages, is_begun=True)
        batches = [take(queue, first_queue=kind)[0] for _ in range(3)]
        # Those put back are as old as each other; each goes by itself, the rest together.
        assert sorted(batches[:2]) == sorted([[ids[0]], [ids[1]]])
        assert batches[2] == ids[2:]


def test_one_marked_alone_behind_others_ends_their_batch(api: Api, client: Any) -> None:
    queue = worker(client)
    (alone,) = api.accept()
    take(queue)
    queue.requeue([alone], is_begun=True)
    (message,) = client.lrange(PREDICTIONS_QUEUE, 0, -1)
    client.delete(PREDICTIONS_QUEUE)
    first = api.accept(2)
    client.lpush(PREDICTIONS_QUEUE, message)
    last = api.accept(1)
    batches = [take(queue)[0] for _ in range(3)]
    assert batches == [first, [alone], last]


def test_a_message_whose_body_is_bad_is_ours_by_its_head_alone(api: Api, client: Any) -> None:
    """The worker finds out when it decodes it (worker/step.py)."""
    (task_id,) = api.enqueue()
    head, _, _ = client.lpop(SYNC_QUEUE).partition(b'"body":')
    client.lpush(SYNC_QUEUE, head + b'"body":"{}"}')
    taken = worker(client).take(Demand(1, 0.0, 0.0, 1), SYNC_QUEUE)
    with pytest.raises(ValueError):
        decode_message(taken.requests[0][0])
    assert held(client) == {task_id}


def test_everything_a_worker_does_goes_on_when_memory_is_full(
    api: Api, client: redis.Redis
) -> None:
    """What frees memory must not need any."""
    dead, me = worker(client, "lab/host/dead"), worker(client)
    ids, sync = api.accept(4), api.enqueue(2)
    take(dead, Demand(2, 0.0, 0.0, 1), PREDICTIONS_QUEUE)
    lapse(client, dead.holder)
    client.config_set("maxmemory", 1)
    me.renew()
    assert me.recover() == (2, 0)
    seen = []
    for _ in range(3):
        seen += take(me, first_queue=PREDICTIONS_QUEUE)[0]
    assert sorted(seen) == sorted(ids)
    me.requeue(ids[:1], is_begun=False)
    found, taken = take(me, first_queue=SYNC_QUEUE)
    assert found == sync
    me.requeue_sync(sync, [message for message, _, _ in taken.requests], is_begun=False)
    assert client.llen(SYNC_QUEUE) == 2


def test_a_script_that_redis_has_forgotten_is_sent_again(api: Api, client: redis.Redis) -> None:
    queue = worker(client)
    client.script_flush()
    ids = api.accept()
    assert take(queue)[0] == ids
    client.script_flush()
    queue.renew()
    queue.requeue(ids, is_begun=False)
    assert queue.recover() == (0, 0)
