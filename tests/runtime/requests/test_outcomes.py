"""Outcomes are stored and told: finish and finish_sync."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis

from app.runtime.contract import FAILURE, NOBODY, REVOKED, STORED, SUCCESS, Outcome
from app.runtime.requests.lookup import ANSWERED_MINUTES
from app.runtime.requests.outcomes import ANSWERED_BYTES, Ended, OutcomeStore
from app.runtime.requests.worker_queue import Demand
from app.runtime.store.codecs import decode_reply
from app.runtime.store.keys import (
    CALLBACKS_DUE_KEY,
    callback_key,
    payload_key,
    reply_channel,
    request_key,
    task_key,
    watchers_key,
)
from app.runtime.store.messages import INLINE_PAYLOAD_BYTES

from ..deployment import Deployment
from ..polling import wait_until
from ..queues import RESULT_SECONDS, Api, record, states, take, worker

HOLDER = "lab/host/1"
OWNER = "0123456789abcdef"
URI = "http://receiver.example/"
MANY = 2_500
EVERYTHING = Demand(size=4000, wait=0.0, seconds=0.0, free=1)
LARGE = b'"' + b"x" * INLINE_PAYLOAD_BYTES + b'"'


@pytest.fixture
def outcomes(client: redis.Redis) -> OutcomeStore:
    return OutcomeStore(client, HOLDER, RESULT_SECONDS)


def succeeded(task_id: str, body: bytes = b'{"a":1}', **details: Any) -> Ended:
    return Ended(Outcome(task_id, SUCCESS, body), **details)


def answered(task_id: str, body: bytes = b'{"a":1}', api: str = "api") -> Ended:
    return Ended(Outcome(task_id, SUCCESS, body), api, NOBODY)


def told(api: Api) -> list[Outcome]:
    """Return the outcomes an API process was told of."""
    return [outcome for data in api.hear(reply_channel(api.name)) for outcome in decode_reply(data)]


def held(client: Any) -> set[bytes]:
    found: set[bytes] = client.smembers(f"denzel:held:{HOLDER}") | client.smembers(
        f"denzel:held.sync:{HOLDER}"
    )
    return found


# finish


def test_outcomes_are_stored_and_the_requests_are_gone(
    api: Api, client: Any, outcomes: OutcomeStore
) -> None:
    ids = api.accept(MANY, owner=OWNER)
    take(worker(client), EVERYTHING)
    outcomes.finish([succeeded(each, b'"%b"' % each.encode()) for each in ids])
    for task_id in ids[:: MANY // 50]:
        found = record(client, task_id)
        assert found is not None
        assert found == (SUCCESS, b'"%b"' % task_id.encode(), OWNER)
        assert found.started is None
        assert 0 < client.ttl(task_key(task_id)) <= RESULT_SECONDS
    assert states(client, ids) == [SUCCESS] * MANY
    assert client.keys("denzel:request:*") == []
    assert held(client) == set()


def test_the_first_outcome_counts(api: Api, client: redis.Redis, outcomes: OutcomeStore) -> None:
    done, cancelled, fresh = api.accept(3)
    take(worker(client))
    outcomes.finish([succeeded(done)])
    api.cancel(cancelled, stop_running=True)
    outcomes.finish(
        [Ended(Outcome(each, FAILURE, b'{"args":[]}')) for each in (done, cancelled, fresh)]
    )
    assert states(client, [done, cancelled, fresh]) == [SUCCESS, REVOKED, FAILURE]
    assert held(client) == set()


def test_a_request_that_ended_need_not_be_stopped(
    api: Api, client: redis.Redis, outcomes: OutcomeStore
) -> None:
    queue = worker(client)
    (task_id,) = api.accept()
    take(queue)
    api.cancel(task_id, stop_running=True)
    assert queue.is_stopping(task_id)
    outcomes.finish([succeeded(task_id)])
    assert not queue.is_stopping(task_id)


def test_a_callback_is_due_with_the_outcome_which_lasts_until_it_is_delivered(
    api: Api, client: Any, outcomes: OutcomeStore
) -> None:
    told_of, plain = api.accept(2)
    take(worker(client))
    outcomes.finish([succeeded(told_of, callback_uri=URI), succeeded(plain)])
    assert client.zrange(CALLBACKS_DUE_KEY, 0, -1) == [told_of.encode()]
    assert client.hget(callback_key(told_of), "uri") == URI.encode()
    assert client.ttl(task_key(told_of)) == -1
    assert not client.exists(callback_key(plain))
    # Again, as after a connection that was lost: the callback is not sent twice.
    client.delete(CALLBACKS_DUE_KEY)
    outcomes.finish([succeeded(told_of, callback_uri=URI)])
    assert not client.exists(CALLBACKS_DUE_KEY)


def test_who_watches_a_request_is_told_its_end(
    api: Api, client: redis.Redis, outcomes: OutcomeStore
) -> None:
    watched, other = api.accept(2)
    client.sadd(watchers_key(watched), api.name)
    take(worker(client))
    outcomes.finish([succeeded(watched), succeeded(other)])
    assert told(api) == [Outcome(watched, SUCCESS, b'{"a":1}')]


def test_an_asynchronous_outcome_is_stored_though_memory_is_full(
    api: Api, client: redis.Redis, outcomes: OutcomeStore
) -> None:
    (task_id,) = api.accept()
    take(worker(client))
    client.config_set("maxmemory", 1)
    finishing = threading.Thread(target=outcomes.finish, args=([succeeded(task_id)],), daemon=True)
    finishing.start()
    finishing.join(10)
    assert not finishing.is_alive()
    assert states(client, [task_id]) == [SUCCESS]


# finish_sync


def test_a_synchronous_outcome_is_told_and_can_be_asked_for(
    api: Api, client: Any, outcomes: OutcomeStore
) -> None:
    ids = api.enqueue(MANY)
    take(worker(client), EVERYTHING)
    outcomes.finish_sync([answered(each, b'"%b"' % each.encode()) for each in ids])
    assert told(api) == [Outcome(each, SUCCESS, b'"%b"' % each.encode()) for each in ids]
    assert client.keys("denzel:task:*") == []
    assert held(client) == set()
    for found, task_id in zip(api.find(*ids), ids, strict=True):
        assert found == (SUCCESS, b'"%b"' % task_id.encode(), NOBODY)
    (key,) = client.keys("denzel:answered:*")
    assert 0 < client.ttl(key) <= RESULT_SECONDS + 60


def test_each_api_process_is_told_its_own(
    api: Api, redis_server: Deployment, client: redis.Redis, outcomes: OutcomeStore
) -> None:
    other = Api(redis_server.environment["REDIS_URL"], "other")
    mine, theirs = api.enqueue(2), other.enqueue(2)
    take(worker(client))
    outcomes.finish_sync(
        [answered(mine[0]), answered(theirs[0], api="other"), answered(mine[1]),
         answered(theirs[1], api="other")]
    )  # fmt: skip
    assert [each.id for each in told(api)] == mine
    assert [each.id for each in told(other)] == theirs
    other.close()


def test_of_an_outcome_too_large_for_a_channel_is_told_that_it_is_stored(
    api: Api, client: Any, outcomes: OutcomeStore
) -> None:
    body = b'"%b"' % (b"x" * 2**18)
    (waited,) = api.enqueue()
    (watched,) = api.accept()
    client.sadd(watchers_key(watched), api.name)
    outcomes.finish_sync([answered(waited, body)])
    outcomes.finish([succeeded(watched, body)])
    assert told(api) == [Outcome(waited, STORED, b""), Outcome(watched, STORED, b"")]
    for task_id in (waited, watched):
        assert client.get(task_key(task_id)) == b"SUCCESS %b %b" % (NOBODY.encode(), body)
        assert client.ttl(task_key(task_id)) > 0
        (record,) = api.run("find", 10, task_id)
        assert record == b"STORED - "
    assert client.ttl(task_key(waited)) <= 60  # should nobody read it


def test_no_message_is_large_however_many_outcomes_it_has(
    api: Api, client: Any, outcomes: OutcomeStore
) -> None:
    bodies = {task_id: b'"%b"' % (b"x" * 200_000) for task_id in api.enqueue(200)}
    outcomes.finish_sync([answered(*each) for each in bodies.items()])
    (message,) = api.hear(reply_channel(api.name))
    assert len(message) < 5_000_000
    told_of = {each.id: each for each in decode_reply(message)}
    assert list(told_of) == list(bodies)
    for task_id, body in bodies.items():
        if told_of[task_id].state == STORED:
            assert client.get(task_key(task_id)).endswith(body)
        else:
            assert told_of[task_id].body == body
    # Nor is an answer to who asks for many.
    stored = [each for each in bodies if told_of[each].state == STORED]
    found = api.run("find", 10, *stored, "unknown")
    assert sum(map(len, found[:-1])) < 5_000_000
    assert found[-1] is None
    assert b"STORED - " in found


def test_a_large_outcome_is_its_clients_alone(api: Api, outcomes: OutcomeStore) -> None:
    (task_id,) = api.enqueue()
    body = b'"' + b"x" * ANSWERED_BYTES + b'"'
    outcomes.finish_sync([answered(task_id, body)])
    assert told(api) == [Outcome(task_id, SUCCESS, body)]
    assert api.find(task_id) == [None]


def test_no_more_outcomes_are_kept_than_a_limit(
    api: Api, client: Any, outcomes: OutcomeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.runtime.requests.outcomes.ANSWERED_A_MINUTE", 2)
    ids = api.enqueue(4)
    for each in ids:
        outcomes.finish_sync([answered(each)])
    assert len(told(api)) == 4
    minutes = client.keys("denzel:answered:*")
    assert sum(client.hlen(each) for each in minutes) <= 2 * len(minutes)


def test_an_outcome_is_forgotten_after_its_minutes(
    api: Api, client: Any, outcomes: OutcomeStore
) -> None:
    (task_id,) = api.enqueue()
    outcomes.finish_sync([answered(task_id)])
    (key,) = client.keys("denzel:answered:*")
    minute = int(key.rsplit(b":", 1)[1])
    client.rename(key, f"denzel:answered:{minute - ANSWERED_MINUTES + 1}")
    assert api.find(task_id) != [None]
    client.rename(
        f"denzel:answered:{minute - ANSWERED_MINUTES + 1}",
        f"denzel:answered:{minute - ANSWERED_MINUTES - 2}",
    )
    assert api.find(task_id) == [None]


def test_an_outcome_that_came_too_late_is_stored_as_a_record(
    api: Api, client: Any, outcomes: OutcomeStore
) -> None:
    late, in_time = api.enqueue(2)
    take(worker(client))
    api.do(api.acceptance.time_out(late, NOBODY))
    body = b'"' + b"x" * ANSWERED_BYTES + b'"'
    outcomes.finish_sync([answered(late, body), answered(in_time)])
    assert record(client, late) == (SUCCESS, body, NOBODY)
    assert 0 < client.ttl(task_key(late)) <= RESULT_SECONDS
    assert record(client, in_time) is None


def test_an_outcome_nobody_heard_is_stored_as_a_record(
    client: redis.Redis, api: Api, outcomes: OutcomeStore
) -> None:
    (task_id,) = api.enqueue()
    outcomes.finish_sync([answered(task_id, api="gone")])
    assert record(client, task_id) == (SUCCESS, b'{"a":1}', NOBODY)


def test_who_watches_a_synchronous_request_is_told_its_late_end(
    api: Api, redis_server: Deployment, client: redis.Redis, outcomes: OutcomeStore
) -> None:
    watcher = Api(redis_server.environment["REDIS_URL"], "watcher")
    (task_id,) = api.enqueue()
    api.do(api.acceptance.time_out(task_id, NOBODY))
    client.sadd(watchers_key(task_id), watcher.name)
    outcomes.finish_sync([answered(task_id)])
    assert [each.id for each in told(watcher)] == [task_id]
    watcher.close()


def test_a_large_payload_is_gone_with_its_outcome(
    api: Api, client: Any, outcomes: OutcomeStore
) -> None:
    (task_id,) = api.enqueue(payload=LARGE)
    take(worker(client))
    assert outcomes.payload(task_id) == LARGE
    outcomes.finish_sync([answered(task_id)], [task_id])
    assert not client.exists(payload_key(task_id))
    assert outcomes.payload(task_id) is None


def test_without_memory_a_client_gets_its_outcome_all_the_same(
    api: Api, client: Any, outcomes: OutcomeStore
) -> None:
    """Also when that of another process's client has to be stored first."""
    late, here = *api.enqueue(1), *api.enqueue(1)
    take(worker(client))
    client.config_set("maxmemory", 1)
    api.do(api.acceptance.time_out(late, NOBODY))
    outcomes.finish_sync([answered(late, api="another"), answered(here)])
    assert [each.id for each in told(api)] == [here]
    assert states(client, [late]) == [SUCCESS]
    assert held(client) == set()


# What a process reads


def test_a_stored_request_is_read_until_it_has_ended(
    api: Api, client: redis.Redis, outcomes: OutcomeStore
) -> None:
    (task_id,) = api.accept(payload=LARGE, callback_uri=URI)
    take(worker(client))
    assert outcomes.stored_request(task_id) == (URI, LARGE)
    api.cancel(task_id, stop_running=True)
    assert outcomes.stored_request(task_id) is None
    assert not client.exists(request_key(task_id))


def test_scripts_that_redis_has_forgotten_are_sent_again(
    api: Api, client: redis.Redis, outcomes: OutcomeStore
) -> None:
    (asynchronous,), (sync,) = api.accept(), api.enqueue()
    client.script_flush()
    outcomes.finish([succeeded(asynchronous)])
    client.script_flush()
    outcomes.finish_sync([answered(sync)])
    wait_until(lambda: told(api), 10, what="it is told")
    assert states(client, [asynchronous]) == [SUCCESS]
