"""How long a worker has requests wait: for a fuller batch, or until they are too late."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.runtime.contract import NOBODY, REVOKED
from app.runtime.requests.worker_queue import Demand
from app.runtime.store.keys import SYNC_QUEUE, payload_key, task_key
from app.runtime.store.messages import INLINE_PAYLOAD_BYTES

from ..queues import QUEUES, Api, held, record, states, take, worker

OWNER = "0123456789abcdef"
MANY = 2_500
LARGE = b'"' + b"x" * INLINE_PAYLOAD_BYTES + b'"'


@pytest.mark.parametrize("queue", QUEUES)
def test_a_request_waits_for_a_fuller_batch(api: Api, client: Any, queue: str) -> None:
    patient = Demand(size=3, wait=30.0, seconds=0.0, free=1)
    ids = api.put(queue, 2)
    none, taken = take(worker(client), patient)
    assert none == []
    assert 15 < taken.wait <= 30
    assert held(client) == set()
    ids += api.put(queue, 1)
    assert take(worker(client), patient)[0] == ids


def test_a_request_that_has_waited_long_enough_goes(api: Api, client: Any) -> None:
    (task_id,) = api.enqueue()
    assert take(worker(client), Demand(3, 1e-6, 0.0, 1))[0] == [task_id]


def test_no_request_waits_for_longer_than_half_its_clients_time(api: Api, client: Any) -> None:
    """Else a wait as long as the timeout would have none be answered."""
    patient = Demand(size=3, wait=30.0, seconds=0.0, free=1)
    (task_id,) = api.enqueue(timeout=20)
    _, taken = take(worker(client), patient)
    assert 0 < taken.wait <= 10
    age(client, 11)
    assert take(worker(client), patient)[0] == [task_id]


def test_one_queue_does_not_wait_for_the_other(api: Api, client: Any) -> None:
    patient = Demand(size=2, wait=30.0, seconds=0.0, free=1)
    api.enqueue(1)
    full = api.accept(2)
    assert take(worker(client), patient)[0] == full


def test_one_marked_alone_waits_for_nobody(api: Api, client: Any) -> None:
    queue = worker(client)
    ids = api.accept()
    take(queue)
    queue.requeue(ids, is_begun=True)
    assert take(queue, Demand(3, 30.0, 0.0, 1))[0] == ids


def age(client: Any, seconds: float) -> None:
    """Have everything on the queue of synchronous requests wait for so long already."""
    for index, message in enumerate(client.lrange(SYNC_QUEUE, 0, -1)):
        sent = float(message[63:80]) - seconds
        client.lset(SYNC_QUEUE, index, b"%b%017.6f%b" % (message[:63], sent, message[80:]))


SLOW = Demand(size=10, wait=0.0, seconds=20.0, free=1)


def test_who_would_be_answered_too_late_is_not_begun(api: Api, client: Any) -> None:
    late, large = api.enqueue(timeout=40), api.enqueue(timeout=40, payload=LARGE)
    early = api.enqueue(timeout=60)
    age(client, 25)  # 15 and 35 seconds are left of them, a prediction takes 20
    assert take(worker(client), SLOW)[0] == early
    assert states(client, [*late, *large]) == [REVOKED, REVOKED]
    found = record(client, late[0])
    assert found is not None
    assert "nobody waited" in orjson.loads(found.body)["args"][0]
    assert found.owner == NOBODY
    assert 0 < client.ttl(task_key(late[0])) <= 600
    assert not client.exists(payload_key(large[0]))
    assert held(client) == set(early)


def test_one_with_half_its_time_left_is_begun_however_long_predictions_took(
    api: Api, client: Any
) -> None:
    """Else nothing would be begun, and measured, ever again."""
    hopeful, late = api.enqueue(timeout=100), api.enqueue(timeout=60)
    age(client, 40)
    assert take(worker(client), Demand(10, 0.0, 200.0, 1))[0] == hopeful
    assert states(client, [*hopeful, *late]) == [None, REVOKED]


def test_a_revoked_record_keeps_its_owner(api: Api, client: Any) -> None:
    (task_id,) = api.enqueue(owner=OWNER, timeout=1)
    age(client, 2)
    take(worker(client))
    found = record(client, task_id)
    assert found is not None
    assert (found.state, found.owner) == (REVOKED, OWNER)


def test_thousands_of_late_ones_do_not_keep_redis(api: Api, client: Any) -> None:
    api.enqueue(MANY, timeout=1)
    age(client, 2)
    (here,) = api.enqueue(timeout=60)
    batches = [(take(worker(client))[0], client.llen(SYNC_QUEUE)) for _ in range(3)]
    assert batches == [([], MANY + 1 - 1000), ([], MANY + 1 - 2000), ([here], 0)]
