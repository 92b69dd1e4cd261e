"""A worker's side of the queues: take, requeue, renew, recover."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import redis
from celery import Celery

from app.runtime.contract import FAILURE, INVOKE_PREDICT, NOBODY, REVOKED, SUCCESS, Outcome
from app.runtime.requests.acceptance import TIMED_OUT_SECONDS
from app.runtime.requests.outcomes import Ended, OutcomeStore
from app.runtime.requests.worker_queue import NOTHING, RECOVERY_LIMIT, Demand
from app.runtime.store.codecs import decode_record, decode_reply, decode_stored_request
from app.runtime.store.keys import (
    PREDICTIONS_QUEUE,
    SYNC_QUEUE,
    WORKERS_KEY,
    payload_key,
    reply_channel,
    task_key,
    watchers_key,
)
from app.runtime.store.messages import INLINE_PAYLOAD_BYTES, decode_message

from ..deployment import Deployment
from ..queues import LOST_CHANNEL, RESULT_SECONDS, WORK_CHANNEL, Api, record, states, take, worker

OWNER = "0123456789abcdef"
MANY = 2_500
FULL = Demand(size=4000, wait=0.0, seconds=0.0, free=1)
LARGE = b'"' + b"x" * INLINE_PAYLOAD_BYTES + b'"'
HUGE = b'"' + b"x" * (3 * 2**20) + b'"'
QUEUES = [PREDICTIONS_QUEUE, SYNC_QUEUE]


def put(api: Api, queue: str, count: int = 1, **options: Any) -> list[str]:
    """Queue requests of the queue's kind; return their ids."""
    return api.accept(count, **options) if queue == PREDICTIONS_QUEUE else api.enqueue(
        count, **options
    )  # fmt: skip


def held(client: Any, holder: str = "lab/host/1") -> set[str]:
    """Return all that a worker holds by Redis's account."""
    keys = (f"denzel:held:{holder}", f"denzel:held.sync:{holder}")
    return {each.decode() for key in keys for each in client.smembers(key)}


# take


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
    ids = put(api, queue, MANY)
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
    ids = put(api, queue, 5, payload=HUGE)
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
        ids = put(api, kind, 4)
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


# Waiting for a fuller batch


@pytest.mark.parametrize("queue", QUEUES)
def test_a_request_waits_for_a_fuller_batch(api: Api, client: Any, queue: str) -> None:
    patient = Demand(size=3, wait=30.0, seconds=0.0, free=1)
    ids = put(api, queue, 2)
    none, taken = take(worker(client), patient)
    assert none == []
    assert 25 < taken.wait <= 30
    assert held(client) == set()
    ids += put(api, queue, 1)
    assert take(worker(client), patient)[0] == ids


def test_a_request_that_has_waited_long_enough_goes(api: Api, client: Any) -> None:
    (task_id,) = api.enqueue()
    assert take(worker(client), Demand(3, 1e-6, 0.0, 1))[0] == [task_id]


def test_no_request_waits_for_longer_than_half_its_clients_time(api: Api, client: Any) -> None:
    """Else a wait as long as the timeout would have none be answered."""
    patient = Demand(size=3, wait=30.0, seconds=0.0, free=1)
    (task_id,) = api.enqueue(timeout=20)
    _, taken = take(worker(client), patient)
    assert 5 < taken.wait <= 10
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


# Late and abandoned


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
    hopeful, late = api.enqueue(timeout=5), api.enqueue(timeout=3)
    age(client, 2)
    assert take(worker(client), SLOW)[0] == hopeful
    assert states(client, [*hopeful, *late]) == [None, REVOKED]


def test_a_revoked_record_keeps_its_owner(redis_server: Deployment, client: Any) -> None:
    from app.runtime.contract import Request

    api = Api(redis_server.environment["REDIS_URL"])
    request = Request("0" * 8 + "-0000-4000-8000-" + "0" * 12, b"1", OWNER)
    api.do(api.acceptance.enqueue_sync([(request, 1.0)]))
    age(client, 2)
    take(worker(client))
    found = record(client, request.id)
    assert found is not None
    assert (found.state, found.owner) == (REVOKED, OWNER)
    api.close()


def test_thousands_of_late_ones_do_not_keep_redis(api: Api, client: Any) -> None:
    api.enqueue(MANY, timeout=1)
    age(client, 2)
    (here,) = api.enqueue(timeout=60)
    batches = [(take(worker(client))[0], client.llen(SYNC_QUEUE)) for _ in range(3)]
    assert batches == [([], MANY + 1 - 1000), ([], MANY + 1 - 2000), ([here], 0)]


# What is none of ours


def stock_message(redis_server: Deployment, client: Any, name: str) -> bytes:
    """Return what a stock Celery client sends."""
    url = redis_server.environment["REDIS_URL"].replace("unix", "redis+socket", 1)
    with Celery("stock", broker=url, set_as_current=False) as application:
        application.send_task(name, ({"value": 1},), queue="stock")
    message: bytes = client.rpop("stock")
    return message


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("place", ["head", "middle", "end"])
def test_foreign_messages_are_skipped_wherever_they_stand(
    api: Api, client: Any, redis_server: Deployment, queue: str, place: str
) -> None:
    foreign = [
        b"", b"garbage", b"{}", b"[]", b"null", b"\xff\x00", b"{" * 1000,
        stock_message(redis_server, client, "somebody.elses"),
        stock_message(redis_server, client, INVOKE_PREDICT),
    ]  # fmt: skip
    expected = []
    for part in ("head", "middle", "end"):
        if part == place:
            client.lpush(queue, *foreign)
        if part != "end":
            expected += put(api, queue, 2)
    found, skipped = [], []
    for _ in range(3):
        ids, taken = take(worker(client), first_queue=queue)
        found += ids
        skipped += taken.skipped
    assert found == expected
    assert skipped[:-2] == [each[:300] for each in foreign[:-2]]
    assert skipped[-2].startswith(b"task somebody.elses, " + foreign[-2][:300])
    assert skipped[-1].startswith(b"task app.tasks.invoke_predict, " + foreign[-1][:300])
    assert client.llen(queue) == 0
    assert held(client) == set(expected)


def test_thousands_of_foreign_messages_do_not_keep_redis(api: Api, client: Any) -> None:
    client.lpush(PREDICTIONS_QUEUE, *[b"garbage"] * MANY)
    ids = api.accept()
    batches = [(take(worker(client))[0], client.llen(PREDICTIONS_QUEUE)) for _ in range(3)]
    assert batches == [([], MANY + 1 - 1000), ([], MANY + 1 - 2000), (ids, 0)]


# requeue


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
    ids = put(api, queue, 1)
    _, taken = take(mine)
    api.hear(WORK_CHANNEL)
    if queue == PREDICTIONS_QUEUE:
        mine.requeue(ids, is_begun=False)
    else:
        mine.requeue_sync(ids, [taken.requests[0][0]], is_begun=False)
    assert len(api.hear(WORK_CHANNEL)) == 1


# Leases


def test_renewing_tells_what_is_held(api: Api, client: redis.Redis) -> None:
    queue = worker(client)
    sync, asynchronous = api.enqueue(2), api.accept(2)
    take(queue)
    take(queue)
    assert queue.renew() == (set(asynchronous), set(sync))


def lapse(client: Any, holder: str) -> None:
    """Have a worker's lease end now."""
    client.zadd(WORKERS_KEY, {holder: client.time()[0] - 1})


def test_what_a_dead_worker_held_goes_back_and_the_living_keep_theirs(
    api: Api, client: redis.Redis
) -> None:
    dead, living, me = (worker(client, f"lab/host/{name}") for name in ("dead", "living", "me"))
    for queue in (dead, living, me):
        api.accept(2)
        api.enqueue(1)
        take(queue, first_queue=PREDICTIONS_QUEUE)
        take(queue, first_queue=SYNC_QUEUE)
    theirs = held(client, "lab/host/living"), held(client, "lab/host/me")
    asynchronous, sync = dead.renew()
    assert me.recover() == (0, 0)
    lapse(client, "lab/host/dead")
    api.hear(WORK_CHANNEL)
    assert me.recover() == (2, 1)
    assert held(client, "lab/host/dead") == set()
    assert (held(client, "lab/host/living"), held(client, "lab/host/me")) == theirs
    assert api.hear(LOST_CHANNEL) == [" ".join(sync).encode()]
    assert len(api.hear(WORK_CHANNEL)) == 1
    assert states(client, list(asynchronous)) == ["PENDING"] * 2
    # Each may have been what ended the worker, so each is tried alone.
    assert {take(me)[0][0], take(me)[0][0]} == asynchronous
    assert client.zscore(WORKERS_KEY, "lab/host/dead") is None
    assert me.recover() == (0, 0)


def test_predecessors_are_dead_though_their_leases_last(api: Api, client: redis.Redis) -> None:
    before, other = worker(client, "lab/host/1"), worker(client, "lab/another/1")
    api.accept(1)
    take(before)
    api.accept(1)
    take(other)
    me = worker(client, "lab/host/2")
    api.accept(1)
    take(me)
    assert me.recover("lab/host/") == (1, 0)
    assert held(client, "lab/another/1") != set()
    assert held(client, "lab/host/2") != set()
    assert client.zscore(WORKERS_KEY, "lab/host/2") is not None


def test_a_worker_that_lost_its_lease_does_not_recover_itself(
    api: Api, client: redis.Redis
) -> None:
    me = worker(client)
    (task_id,) = api.accept()
    take(me)
    lapse(client, me.holder)
    assert me.recover() == (0, 0)
    assert held(client) == {task_id}


def test_many_are_recovered_a_part_at_a_time(api: Api, client: Any) -> None:
    dead, me = worker(client, "lab/host/dead"), worker(client)
    ids = api.accept(RECOVERY_LIMIT + 10)
    take(dead, FULL)
    lapse(client, dead.holder)
    assert me.recover() == (RECOVERY_LIMIT, 0)
    assert me.recover() == (10, 0)
    assert me.recover() == (0, 0)
    assert sorted(
        decode_message(each).id for each in client.lrange(PREDICTIONS_QUEUE, 0, -1)
    ) == sorted(ids)


@pytest.mark.parametrize("place", ["head", "end"])
def test_foreign_messages_do_not_stop_recovery(api: Api, client: Any, place: str) -> None:
    dead, me = worker(client, "lab/host/dead"), worker(client)
    ids = api.accept(2)
    take(dead)
    lapse(client, dead.holder)
    for queue in QUEUES:
        (client.rpush if place == "head" else client.lpush)(queue, b"garbage", b"{}")
    assert me.recover() == (2, 0)
    assert sorted(take(me)[0] + take(me)[0] + take(me)[0] + take(me)[0]) == sorted(ids)


def test_a_lease_that_is_withdrawn_is_nobodys(api: Api, client: redis.Redis) -> None:
    queue = worker(client)
    queue.withdraw()
    assert client.zscore(WORKERS_KEY, queue.holder) is None


def test_an_extended_lease_lasts(client: redis.Redis) -> None:
    queue = worker(client)
    queue.extend(500)
    until: Any = client.zscore(WORKERS_KEY, queue.holder)
    now: Any = client.time()
    assert 490 < until - now[0] < 502


def test_lost_synchronous_requests_are_reported_and_no_longer_held(
    api: Api, client: redis.Redis
) -> None:
    queue = worker(client)
    (lost, kept) = api.enqueue(2)
    take(queue)
    queue.report_lost([lost])
    assert api.hear(LOST_CHANNEL) == [lost.encode()]
    assert held(client) == {kept}


@pytest.mark.parametrize("how", ["reported", "recovered"])
def test_a_lost_request_fails_if_its_clients_time_is_up(
    api: Api, client: redis.Redis, how: str
) -> None:
    """Nobody sends it again, so it would be PENDING for as long as its record lasts."""
    queue = worker(client, "lab/host/dead")
    given_up, waited_for, ended = api.enqueue(3)
    take(queue)
    for task_id in (given_up, ended):
        api.do(api.acceptance.time_out(task_id, OWNER))
    client.set(task_key(ended), f"SUCCESS {OWNER} {{}}")
    client.sadd(watchers_key(given_up), api.name)
    if how == "reported":
        queue.report_lost([given_up, waited_for, ended])
    else:
        lapse(client, queue.holder)
        assert worker(client).recover() == (0, 3)
    assert states(client, [given_up, waited_for, ended]) == [FAILURE, None, SUCCESS]
    found = record(client, given_up)
    assert found is not None
    assert (found.owner, orjson.loads(found.body)["type"]) == (OWNER, "WorkerLostError")
    assert 0 < client.ttl(task_key(given_up)) <= TIMED_OUT_SECONDS
    (reply,) = api.hear(reply_channel(api.name))
    assert [(each.id, each.state) for each in decode_reply(reply)] == [(given_up, FAILURE)]
    assert api.hear(LOST_CHANNEL) != []


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


def test_a_message_whose_body_is_bad_is_ours_by_its_head_alone(api: Api, client: Any) -> None:
    """The worker finds out when it decodes it (worker/step.py)."""
    (task_id,) = api.enqueue()
    head, _, _ = client.lpop(SYNC_QUEUE).partition(b'"body":')
    client.lpush(SYNC_QUEUE, head + b'"body":"{}"}')
    taken = worker(client).take(Demand(1, 0.0, 0.0, 1), SYNC_QUEUE)
    with pytest.raises(ValueError):
        decode_message(taken.requests[0][0])
    assert decode_record(b"PENDING - 0").state == "PENDING"
    assert held(client) == {task_id}
