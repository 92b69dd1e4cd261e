"""A worker puts back what it has taken."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from app.runtime.contract import REVOKED, SUCCESS, Outcome
from app.runtime.requests.outcomes import Ended, OutcomeStore
from app.runtime.requests.worker_queue import Demand
from app.runtime.store.keys import PREDICTIONS_QUEUE, task_key

from ..queues import QUEUES, RESULT_SECONDS, WORK_CHANNEL, Api, held, record, states, take, worker

OWNER = "0123456789abcdef"


def test_what_was_not_begun_goes_back_as_it_was(api: Api, client: Any) -> None:
    queue = worker(client)
    first, second, third = api.accept(3, owner=OWNER)
    take(queue, Demand(2, 0.0, 0.0, 1))
    queue.requeue([first, second], is_begun=False)
    assert states(client, [first, second]) == ["PENDING", "PENDING"]
    assert held(client) == set()
    ids, taken = take(queue)
    assert ids == [first, second, third]
    assert [deliveries for _, deliveries, _ in taken.requests] == [1, 1, 1]
    found = record(client, first)
    assert found is not None
    assert found.owner == OWNER


def test_a_begun_request_counts_its_deliveries(api: Api, client: Any) -> None:
    queue = worker(client)
    ids = api.accept()
    for expected in (1, 2, 3):
        _, taken = take(queue)
        assert [deliveries for _, deliveries, _ in taken.requests] == [expected]
        queue.requeue(ids, is_begun=True)


def test_what_has_ended_does_not_go_back(api: Api, client: redis.Redis) -> None:
    queue = worker(client)
    done, cancelled, gone = api.accept(3)
    take(queue)
    OutcomeStore(client, queue.holder, RESULT_SECONDS).finish(
        [Ended(Outcome(done, SUCCESS, b"{}"))]
    )
    api.cancel(cancelled, stop_running=True)
    client.delete(task_key(gone))
    queue.requeue([done, cancelled, gone], is_begun=True)
    assert client.llen(PREDICTIONS_QUEUE) == 0
    assert states(client, [done, cancelled, gone]) == [SUCCESS, REVOKED, None]


def test_synchronous_requests_go_back_in_their_order_before_all_others(
    api: Api, client: redis.Redis
) -> None:
    queue = worker(client)
    ids = api.enqueue(5)
    _, taken = take(queue, Demand(3, 0.0, 0.0, 1))
    queue.requeue_sync(ids[:3], [message for message, _, _ in taken.requests], is_begun=False)
    assert held(client) == set()
    assert take(queue)[0] == ids


@pytest.mark.parametrize("queue", QUEUES)
def test_workers_are_notified_of_what_goes_back(api: Api, client: Any, queue: str) -> None:
    mine = worker(client)
    ids = api.put(queue, 1)
    _, taken = take(mine)
    api.hear(WORK_CHANNEL)
    if queue == PREDICTIONS_QUEUE:
        mine.requeue(ids, is_begun=False)
    else:
        mine.requeue_sync(ids, [taken.requests[0][0]], is_begun=False)
    assert len(api.hear(WORK_CHANNEL)) == 1
