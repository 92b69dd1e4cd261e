"""The ledger's scripts on a real Redis that writes before it answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from app.runtime.requests.ledger import FINISH, LOST_MARGIN_SECONDS, Ledger
from app.runtime.worker.feed import TAKE_TASK

from app.runtime.contract import FAILURE, SUCCESS, Request
from app.runtime.requests.acceptance import ACCEPT_GROUP
from app.runtime.store.codecs import decode_record, encode_record, encode_stored_request
from app.runtime.store.keys import LEASED_KEY, PREDICTIONS_QUEUE, QUEUED_KEY, request_key, task_key
from app.runtime.store.messages import encode_prediction_message

from .deployment import Deployment, deployed

RESULT_SECONDS = 600
LEASE_SECONDS = 30.0
MANY = 2_500
"""More than go into one command."""


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "project", None) as deployment:
        deployment.start_redis("--appendfsync", "always")
        yield deployment


@pytest.fixture
def client(deployment: Deployment) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(deployment.redis_socket)) as client:
        yield client


def accept(client: redis.Redis, count: int) -> list[str]:
    """Accept requests as one task; return their ids."""
    requests = [
        Request(str(uuid4()), b'{"number": %d}' % number, None, True) for number in range(count)
    ]
    now = time.time()
    arguments: list[str | bytes | float] = [
        now, 10**6, encode_prediction_message(requests, "", sent=now)
    ]  # fmt: skip
    for request in requests:
        arguments += [request.id, encode_stored_request(request)]
    assert client.register_script(ACCEPT_GROUP)(args=arguments) == -1
    return [request.id for request in requests]


def take(client: redis.Redis) -> bool:
    """Take a task as the worker's feed does; tell whether there was one."""
    return client.eval(TAKE_TASK, 0, PREDICTIONS_QUEUE) is not None


def begin(client: redis.Redis, task_ids: Sequence[str], holder: str = "me") -> list[str]:
    """Begin requests; return which may be predicted."""
    return [each.request.id for each in Ledger(client, holder, LEASE_SECONDS).begin(task_ids)]


def finish(client: redis.Redis, task_ids: Sequence[str], state: str = SUCCESS) -> int:
    """Finish requests, each with its own result; return how many had no outcome yet."""
    arguments: list[str | bytes] = []
    for number, task_id in enumerate(task_ids):
        arguments += [task_id, encode_record(state, b"%d" % number), ""]
    finished = client.eval(FINISH, 0, RESULT_SECONDS, time.time(), *arguments)
    assert isinstance(finished, int)
    return finished


def records(client: redis.Redis, task_ids: Sequence[str]) -> list[Any]:
    """Return the records of requests."""
    return list(client.mget(map(task_key, task_ids)))


def rewritten(client: redis.Redis) -> bool:
    """Tell whether Redis has written a new file and works with it."""
    persistence = client.info("persistence")
    return not persistence["aof_rewrite_in_progress"] and persistence["aof_rewrites"] > 0


def crash(deployment: Deployment) -> None:
    """End Redis without a warning, and start it with what it has written."""
    deployment.services.pop("redis").kill()
    deployment.start_redis("--appendfsync", "always")


def test_a_large_group_passes_through_whole(client: redis.Redis) -> None:
    ids = accept(client, MANY)
    assert client.zcard(QUEUED_KEY) == MANY
    assert take(client)
    begun = Ledger(client, "me", LEASE_SECONDS).begin(ids)
    assert [each.request.id for each in begun] == ids
    assert [each.request.payload for each in begun] == [
        b'{"number": %d}' % number for number in range(MANY)
    ]
    assert {each.deliveries for each in begun} == {1}
    assert (client.zcard(QUEUED_KEY), client.zcard(LEASED_KEY)) == (0, MANY)
    assert records(client, ids) == [b"STARTED null"] * MANY
    assert finish(client, ids) == MANY
    assert records(client, ids) == [b"SUCCESS %d" % n for n in range(MANY)]
    assert all(0 < int(client.ttl(task_key(each))) <= RESULT_SECONDS for each in ids)
    left = {str(key, "ascii") for key in client.scan_iter()}
    assert left == {task_key(each) for each in ids}


def test_begun_is_what_nobody_else_holds_and_has_no_outcome(client: redis.Redis) -> None:
    held, mine, done, gone, free = ids = accept(client, 5)
    assert begin(client, [held], "another") == [held]
    assert begin(client, [mine]) == [mine]
    assert finish(client, [done]) == 1
    client.delete(task_key(gone))
    ledger = Ledger(client, "me", LEASE_SECONDS)
    assert [each.request.id for each in ledger.begin(ids)] == [free]
    again = ledger.begin(ids, from_queue=False)
    assert [(each.request.id, each.deliveries) for each in again] == [(mine, 2), (free, 2)]


def test_the_first_outcome_counts(client: redis.Redis) -> None:
    ids = accept(client, 3)
    assert finish(client, ids[:1]) == 1
    assert finish(client, ids, FAILURE) == 2
    states = [decode_record(record)[0] for record in records(client, ids)]
    assert states == [SUCCESS, FAILURE, FAILURE]
    assert not any(client.exists(request_key(each)) for each in ids)


def test_a_task_is_off_the_queue_for_good_once_it_is_begun(
    deployment: Deployment, client: redis.Redis
) -> None:
    first, second, _third = (accept(client, 2) for _ in range(3))
    waiting = client.lrange(PREDICTIONS_QUEUE, 0, -1)[:2]
    assert take(client)
    begin(client, first)
    crash(deployment)
    assert client.lrange(PREDICTIONS_QUEUE, 0, -1) == waiting
    assert client.zcard(LEASED_KEY) == 2
    assert begin(client, second, "another") == second


def test_a_task_that_comes_back_is_not_begun_twice(
    deployment: Deployment, client: redis.Redis
) -> None:
    first, second = accept(client, 1), accept(client, 1)
    assert take(client)
    assert take(client)
    assert begin(client, second) == second
    crash(deployment)
    assert client.llen(PREDICTIONS_QUEUE) == 1
    assert take(client)
    assert begin(client, second) == []
    assert begin(client, first) == first


def test_what_was_being_taken_while_redis_rewrote_its_file_is_found(
    deployment: Deployment, client: redis.Redis
) -> None:
    first, second = accept(client, 1), accept(client, 1)
    assert take(client)
    client.bgrewriteaof()
    deployment.wait(lambda: rewritten(client), "Redis has rewritten its file", 10)
    begin(client, first)
    crash(deployment)
    assert client.llen(PREDICTIONS_QUEUE) == 0
    later = time.time() + LEASE_SECONDS + LOST_MARGIN_SECONDS + 1
    ledger = Ledger(client, "me", LEASE_SECONDS, clock=lambda: later)
    assert ledger.sweep() == 2  # nobody renewed the first one's lease
    assert {take(client), take(client)} == {True}
    assert begin(client, second) == second


def test_a_task_that_was_taken_and_not_begun_comes_back_with_redis(
    deployment: Deployment, client: redis.Redis
) -> None:
    accept(client, 2)
    accept(client, 1)
    waiting = client.lrange(PREDICTIONS_QUEUE, 0, -1)
    assert take(client)
    assert take(client)
    assert not take(client)
    crash(deployment)
    assert client.lrange(PREDICTIONS_QUEUE, 0, -1) == waiting


def test_beginning_without_a_task_takes_none_off_the_queue(
    deployment: Deployment, client: redis.Redis
) -> None:
    ids = accept(client, 1)
    Ledger(client, "me", LEASE_SECONDS).begin(ids, from_queue=False)
    crash(deployment)
    assert client.llen(PREDICTIONS_QUEUE) == 1
