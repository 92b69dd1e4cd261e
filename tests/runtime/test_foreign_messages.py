"""Whatever stands on a queue of predictions, the worker lives and says what it skipped."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import orjson
import pytest
import redis

from app.runtime.contract import Request
from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE

from .conftest import OBEDIENT
from .deployment import Deployment, deployed
from .queues import QUEUES, sync_message

PLACES = ["head", "middle", "end"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment on whose queues others put things, too."""
    settings = {"RECOVERY_SECONDS": "5"}
    with deployed(tmp_path_factory.mktemp("shared"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        deployment.wait(lambda: deployment.predict({"value": 1}).ok, "predictions are answered")
        yield deployment


@pytest.fixture
def client(shared: Deployment) -> Iterator[Any]:  # redis-py's own types are too wide
    with redis.Redis.from_url(shared.environment["REDIS_URL"]) as client:
        yield client


def sent_by_celery(shared: Deployment, client: Any) -> list[bytes]:
    """Return what stock clients send: another's task, ours by its name, and ours called."""
    done = shared.run(
        "-c",
        "from app.tasks import celery_app, invoke_predict\n"
        "celery_app.send_task('somebody.elses', (1,), queue='foreign')\n"
        "celery_app.send_task('app.tasks.invoke_predict', ({'value': 1},), queue='foreign')\n"
        "invoke_predict.apply_async(({'value': 1},), queue='foreign')\n"
        "invoke_predict.apply_async(({'value': 1},), queue='foreign', countdown=1)\n",
    )
    assert done.returncode == 0, done.stderr
    found: list[bytes] = client.lrange("foreign", 0, -1)
    client.delete("foreign")
    assert len(found) == 4
    return found


def bad_predictions() -> list[bytes]:
    """Return messages that look like predictions at their heads."""
    bodies = (b"", b"garbage", b"{}", b"[[],{},{}]", b'[[{"value":1}],{},{}]')
    messages = []
    for body in bodies:
        good = sync_message(Request(str(uuid4()), b"null"), "nobody", 1e9)
        head, _, _ = good.partition(b'"body":')
        messages.append(head + b'"body":' + orjson.dumps(body.decode()) + b"}")
    task_id = str(uuid4())
    good = sync_message(Request(task_id, b'{"value":1}'), "nobody", 1e9)
    ids = [good.replace(task_id.encode(), each * 36) for each in (b"\xff", b" ", b"\n", b"x")]
    other = good.replace(b"invoke_predict", b"somebody_elses")
    return [*messages, *ids, good[:120], good[:-1], other]


GARBAGE = [b"", b"garbage", b"{}", b"[]", b"null", b"\xff\xfe", b"x" * 100_000, b"{" * 50_000]


def wait_for_length(shared: Deployment, client: Any, queue: str, length: int) -> None:
    shared.wait(lambda: client.llen(queue) == length, f"{length} stand on {queue}", 10)


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("place", PLACES)
def test_the_worker_serves_what_stands_among_foreign_messages(
    shared: Deployment, client: Any, queue: str, place: str
) -> None:
    worker = shared.services["denzel"].pid
    before = shared.services["denzel"].log.read_text(errors="replace").count("Skipped")
    foreign = [*GARBAGE, *bad_predictions(), *sent_by_celery(shared, client)]
    prefer = "respond-async" if queue == PREDICTIONS_QUEUE else "wait=40"
    with ThreadPoolExecutor(6) as clients:
        ahead = shared.accept({"do": "sleep", "seconds": 2})
        shared.wait_until_begun(ahead)
        answers = []
        for part in PLACES:
            if part == place:
                client.lpush(queue, *foreign)
            if part != "end":
                queued = client.llen(queue)
                answers += [
                    clients.submit(shared.predict, {"value": number}, Prefer=prefer)
                    for number in range(3)
                ]
                wait_for_length(shared, client, queue, queued + 3)
        for number, answer in enumerate(answers):
            found = answer.result().json()
            if queue == PREDICTIONS_QUEUE:
                found = shared.final_status(found["data"]["task_id"])["result"]
            assert found == {"echo": number % 3}
    wait_for_length(shared, client, queue, 0)
    assert shared.services["denzel"].pid == worker
    assert shared.services["denzel"].is_running()

    def told() -> bool:
        text = shared.services["denzel"].log.read_text(errors="replace")
        # A bad body on the queue of asynchronous requests is never looked at: it has no record.
        least = len(GARBAGE) + 4 + (len(bad_predictions()) if queue == SYNC_QUEUE else 0)
        return text.count("Skipped") - before >= least and "somebody.elses" in text

    shared.wait(told, "the log says what was skipped", 10)


@pytest.mark.parametrize("place", ["head", "end"])
def test_a_dead_workers_requests_are_recovered_past_foreign_messages(
    shared: Deployment, client: Any, place: str
) -> None:
    task_id = shared.accept({"do": "sleep", "seconds": 2})
    shared.wait_until_begun(task_id)
    shared.services.pop("denzel").kill()
    foreign = [*GARBAGE, *bad_predictions(), *sent_by_celery(shared, client)]
    for queue in QUEUES:
        (client.rpush if place == "head" else client.lpush)(queue, *foreign)
    shared.start_worker()
    assert shared.final_status(task_id, 40)["result"] == {"slept": 2}
    assert shared.predict({"value": 1}, Prefer="wait=20").json() == {"echo": 1}


def test_the_worker_goes_on_telling_that_it_lives(shared: Deployment, client: Any) -> None:
    """Its lease is renewed whatever it has found."""
    client.lpush(SYNC_QUEUE, *bad_predictions())
    client.lpush(PREDICTIONS_QUEUE, *bad_predictions())
    ((holder, first),) = client.zrange("denzel:workers", 0, -1, withscores=True)
    shared.wait(lambda: client.zscore("denzel:workers", holder) > first, "the lease is renewed", 10)
    shared.wait(lambda: not client.keys("denzel:held*"), "nothing is held for good", 20)
