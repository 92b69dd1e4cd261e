"""The way of synchronous requests through Redis, on a real one that writes before it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from app.runtime.requests.synchronous import Command
from app.runtime.worker.feed import TAKE_TASK

from app.runtime.contract import SUCCESS, Outcome, Request
from app.runtime.requests import synchronous
from app.runtime.store.codecs import Reply, decode_reply, encode_reply
from app.runtime.store.keys import (
    SYNC_QUEUE,
    WORK_CHANNEL,
    frame_key,
    group_ids,
    request_key,
    task_key,
)

from .deployment import Deployment, deployed

SECONDS = 600
TAKE = ("EVAL", TAKE_TASK, "0", SYNC_QUEUE)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "project", None) as deployment:
        deployment.start_redis("--appendfsync", "always")
        yield deployment


@pytest.fixture
def client(deployment: Deployment) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(deployment.redis_socket)) as client:
        yield client


@pytest.fixture
def do(client: Any) -> Callable[[Command], Any]:  # redis-py has no types for it
    return lambda command: client.execute_command(*command)


def written(client: redis.Redis) -> int:
    """Return how many bytes Redis has written for what it was given so far."""
    return int(client.info("persistence")["aof_current_size"])


def reply_of(task_ids: Sequence[str]) -> Reply:
    outcomes = [Outcome(each, SUCCESS, b'{"of":"%b"}' % each.encode()) for each in task_ids]
    return Reply(task_ids[0], 0.1, outcomes)


def finish(reply: Reply, beside: Sequence[str] = ()) -> Command:
    return synchronous.finish(reply, encode_reply(reply), "reply", SECONDS, beside)


def crash(deployment: Deployment) -> None:
    deployment.services.pop("redis").kill()
    deployment.start_redis("--appendfsync", "always")


def test_nothing_that_a_client_waits_for_is_written(
    client: redis.Redis, do: Callable[[Command], Any]
) -> None:
    before = written(client)
    request = Request(group_ids(1)[0], b'"large"')
    do(synchronous.store([request], SECONDS))
    do(synchronous.push(b"message"))
    assert do(TAKE) == [SYNC_QUEUE.encode(), b"message"]
    do(finish(reply_of(group_ids(2)), [request.id]))
    do(finish(reply_of(group_ids(1))))
    assert written(client) == before
    client.set("something", "durable")
    assert written(client) > before


def test_outcomes_outlive_redis_once_they_are_kept(
    deployment: Deployment, client: redis.Redis, do: Callable[[Command], Any]
) -> None:
    kept, lone, lost = (reply_of(group_ids(count)) for count in (3, 1, 2))
    for reply in (kept, lone, lost):
        do(finish(reply))
    assert client.exists(frame_key(lost.group))
    do(synchronous.keep([synchronous.outcome_key(each) for each in (kept, lone)]))
    crash(deployment)
    frame = client.get(frame_key(kept.group))
    assert isinstance(frame, bytes)
    assert decode_reply(frame) == kept
    assert client.get(task_key(lone.group)) == b"SUCCESS " + lone.outcomes[0].body
    assert not client.exists(frame_key(lost.group))
    for key in (frame_key(kept.group), task_key(lone.group)):
        assert 0 < int(str(client.ttl(key))) <= SECONDS


def test_what_is_gone_is_not_kept(client: redis.Redis, do: Callable[[Command], Any]) -> None:
    before = written(client)
    do(synchronous.keep(["denzel:frame:gone"]))
    assert not client.exists("denzel:frame:gone")
    assert written(client) == before


def test_tasks_leave_in_their_order_but_for_those_sent_first(do: Callable[[Command], Any]) -> None:
    for message in (b"2", b"3"):
        do(synchronous.push(message))
    do(synchronous.push(b"1", first=True))
    assert [do(TAKE)[1] for _ in range(3)] == [b"1", b"2", b"3"]
    assert do(TAKE) is None


def test_workers_are_called_when_there_is_something_again(
    client: Any, do: Callable[[Command], Any]
) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(WORK_CHANNEL)
        listener.get_message(timeout=5)
        do(synchronous.push(b"message"))
        assert listener.get_message(timeout=5) is not None
        do(synchronous.push(b"next"))
        do(TAKE)
        do(TAKE)
        do(synchronous.push(b"last", first=True))
        assert listener.get_message(timeout=5) is not None
        assert listener.get_message(timeout=0) is None
    assert client.llen(SYNC_QUEUE) == 1


def test_a_large_request_stands_beside_until_its_outcome_is_there(
    client: redis.Redis, do: Callable[[Command], Any]
) -> None:
    ids = group_ids(2)
    do(synchronous.store([Request(each, b'"large"') for each in ids], SECONDS))
    assert client.get(request_key(ids[0])) == b'null\n"large"'
    assert 0 < int(str(client.ttl(request_key(ids[0])))) <= SECONDS
    do(finish(reply_of(ids), ids))
    assert not client.exists(*map(request_key, ids))


def test_no_room_for_an_outcome_does_not_keep_it_from_its_client(
    client: Any, do: Callable[[Command], Any]
) -> None:
    reply = reply_of(group_ids(1))
    do(finish(reply))
    large = Request(group_ids(1)[0], b'"large"')
    do(synchronous.store([large], SECONDS))
    client.config_set("maxmemory", "1")
    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("reply")
        listener.get_message(timeout=5)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            do(finish(reply_of(group_ids(1))))
        assert listener.get_message(timeout=5) is not None
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        do(synchronous.push(b"message"))
    with suppress(redis.exceptions.OutOfMemoryError):
        do(finish(reply_of(group_ids(1)), [large.id]))
    assert not client.exists(request_key(large.id))
    do(synchronous.keep([task_key(reply.group)]))  # it needs no more room than it has
    assert client.exists(task_key(reply.group))
