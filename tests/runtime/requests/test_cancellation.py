"""A request is cancelled: queued, running, ended, synchronous, another's."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from app.runtime.contract import CANCELLED, NOBODY, REVOKED, SUCCESS, Outcome
from app.runtime.requests.errors import NotCancelled
from app.runtime.requests.outcomes import Ended, OutcomeStore
from app.runtime.store.codecs import decode_reply
from app.runtime.store.keys import (
    CALLBACKS_DUE_KEY,
    reply_channel,
    request_key,
    stop_key,
    watchers_key,
)

from ..queues import RESULT_SECONDS, Api, record, states, take, worker

OWNER, ANOTHER = "0123456789abcdef", "fedcba9876543210"


def test_a_queued_request_is_revoked_and_its_owner_told(api: Api, client: Any) -> None:
    (task_id,) = api.accept(owner=OWNER, callback_uri="http://receiver.example")
    client.sadd(watchers_key(task_id), api.name)
    assert api.cancel(task_id, OWNER)
    assert record(client, task_id) == (REVOKED, CANCELLED, OWNER)
    assert not client.exists(request_key(task_id))
    assert client.zrange(CALLBACKS_DUE_KEY, 0, -1) == [task_id.encode()]
    (reply,) = api.hear(reply_channel(api.name))
    assert decode_reply(reply) == [Outcome(task_id, REVOKED, CANCELLED)]


@pytest.mark.parametrize("owner", [ANOTHER, NOBODY, ""])
@pytest.mark.parametrize("is_running", [False, True])
def test_anothers_request_is_unknown(
    api: Api, client: redis.Redis, owner: str, is_running: bool
) -> None:
    (task_id,) = api.accept(owner=OWNER)
    if is_running:
        take(worker(client))
    before = record(client, task_id)
    assert not api.cancel(task_id, owner, stop_running=True)
    assert record(client, task_id) == before


def test_an_unknown_request_is_unknown(api: Api) -> None:
    assert not api.cancel("unknown")


def test_a_running_request_is_left_alone_without_the_setting(api: Api, client: redis.Redis) -> None:
    queue = worker(client)
    (task_id,) = api.accept()
    take(queue)
    with pytest.raises(NotCancelled) as refused:
        api.cancel(task_id)
    assert refused.value.state == "PENDING"  # as /status says
    assert states(client, [task_id]) == ["STARTED"]
    assert queue.take_cancelled() == []


def test_a_running_request_is_stopped_by_the_worker_that_holds_it(api: Api, client: Any) -> None:
    mine, other = worker(client), worker(client, "lab/host/other")
    (task_id,) = api.accept()
    take(mine)
    assert api.cancel(task_id, stop_running=True)
    assert states(client, [task_id]) == [REVOKED]
    assert 0 < client.ttl(stop_key(mine.holder)) <= 60
    assert other.take_cancelled() == []
    assert mine.take_cancelled() == [task_id]
    assert mine.take_cancelled() == []
    assert mine.is_stopping(task_id)


def test_what_has_ended_is_not_cancelled(api: Api, client: redis.Redis) -> None:
    (task_id,) = api.accept()
    OutcomeStore(client, "lab/host/1", RESULT_SECONDS).finish(
        [Ended(Outcome(task_id, SUCCESS, b"{}"))]
    )
    with pytest.raises(NotCancelled) as refused:
        api.cancel(task_id)
    assert refused.value.state == SUCCESS
    assert record(client, task_id) == (SUCCESS, b"{}", NOBODY)


def test_a_synchronous_request_is_not_cancelled(api: Api) -> None:
    (task_id,) = api.enqueue()
    api.do(api.acceptance.time_out(task_id, NOBODY))
    with pytest.raises(NotCancelled, match="synchronous") as refused:
        api.cancel(task_id)
    assert refused.value.state == "PENDING"


def test_a_cancelled_request_that_was_put_back_is_not_begun(api: Api, client: redis.Redis) -> None:
    queue = worker(client)
    (task_id,) = api.accept()
    take(queue)
    queue.requeue([task_id], is_begun=True)
    assert api.cancel(task_id)
    assert take(queue)[0] == []
    assert states(client, [task_id]) == [REVOKED]


def test_cancelling_needs_no_memory(api: Api, client: redis.Redis) -> None:
    (task_id,) = api.accept()
    client.config_set("maxmemory", 1)
    assert api.cancel(task_id)
    assert states(client, [task_id]) == [REVOKED]
