"""What is on the queues and none of ours: a worker skips it, and says so."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from app.runtime.contract import INVOKE_PREDICT
from app.runtime.store.keys import PREDICTIONS_QUEUE

from ..deployment import Deployment
from ..queues import QUEUES, Api, held, take, worker

MANY = 2_500


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
            expected += api.put(queue, 2)
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
