"""Tasks of the user's own in ``app/tasks.py`` have all that Celery has, beside predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import redis

from app.runtime.store.keys import PREDICTIONS_QUEUE

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

TASKS = '''

import json
import time
from pathlib import Path


def _note(task, mark, **details):
    with Path("tasks.jsonl").open("a", encoding="utf-8") as trace:
        line = {"mark": mark, "at": time.time(), "retries": task.request.retries, **details}
        trace.write(json.dumps(line) + "\\n")


@celery_app.task(bind=True)
def note(self, mark):
    """Note that it ran."""
    _note(self, mark)


@celery_app.task(bind=True, max_retries=3)
def fail_twice(self, mark):
    """Succeed at the third try."""
    _note(self, mark)
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)


@celery_app.task(bind=True)
def sleep(self, mark, seconds):
    """Take a while."""
    _note(self, mark, event="begun")
    time.sleep(seconds)
    _note(self, mark, event="done")


@celery_app.task(bind=True, rate_limit="2/s")
def limited(self, mark):
    """Note that it ran."""
    _note(self, mark)
'''


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment with tasks of the user's own."""
    settings = {"WORKER_CONCURRENCY": "2"}
    with deployed(tmp_path_factory.mktemp("extended"), OBEDIENT, settings) as deployment:
        with (deployment.directory / "app" / "tasks.py").open("a", encoding="utf-8") as tasks:
            tasks.write(TASKS)
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        deployment.wait(lambda: deployment.predict({"value": 1}).ok, "predictions are answered")
        yield deployment


def call(deployment: Deployment, code: str) -> str:
    """Run Python with the tasks at hand; return what it prints."""
    done = deployment.run("-c", f"from app.tasks import *\n{code}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def notes(deployment: Deployment, mark: str) -> list[dict[str, Any]]:
    """Return what the tasks with a mark have noted."""
    path = deployment.directory / "tasks.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [each for each in map(json.loads, lines) if each["mark"] == mark]


def wait_for_notes(deployment: Deployment, mark: str, count: int) -> list[dict[str, Any]]:
    deployment.wait(lambda: len(notes(deployment, mark)) >= count, f"{count} notes", 20)
    return notes(deployment, mark)


def assert_predicts(deployment: Deployment) -> None:
    """Check that predictions go on."""
    assert deployment.predict({"value": 1}, Prefer="wait=20").json() == {"echo": 1}
    task_id = deployment.accept({"value": 2})
    assert deployment.final_status(task_id)["result"] == {"echo": 2}


def test_a_task_runs_beside_predictions(extended: Deployment) -> None:
    mark = str(uuid4())
    with ThreadPoolExecutor(4) as clients:
        answers = [
            clients.submit(extended.predict, {"value": number}, Prefer="wait=30")
            for number in range(100)
        ]
        call(extended, f"for _ in range(20): note.delay({mark!r})")
        assert [each.result().json() for each in answers] == [{"echo": n} for n in range(100)]
    wait_for_notes(extended, mark, 20)
    assert_predicts(extended)
    assert len(notes(extended, mark)) == 20


def test_a_task_is_retried(extended: Deployment) -> None:
    mark = str(uuid4())
    call(extended, f"fail_twice.delay({mark!r})")
    assert [each["retries"] for each in wait_for_notes(extended, mark, 3)] == [0, 1, 2]
    assert_predicts(extended)


def test_a_task_waits_for_its_time(extended: Deployment) -> None:
    mark = str(uuid4())
    asked = float(call(
        extended, f"import time; note.apply_async(({mark!r},), countdown=2); print(time.time())"
    ))  # fmt: skip
    assert_predicts(extended)
    (noted,) = wait_for_notes(extended, mark, 1)
    assert noted["at"] - asked > 1.5


def test_a_task_keeps_its_rate_limit(extended: Deployment) -> None:
    mark = str(uuid4())
    call(extended, f"for _ in range(5): limited.delay({mark!r})")
    assert_predicts(extended)
    times = sorted(each["at"] for each in wait_for_notes(extended, mark, 5))
    assert times[-1] - times[0] > 1.2


def test_a_waiting_task_is_revoked(extended: Deployment) -> None:
    mark = str(uuid4())
    # Long enough for a machine under load to start the next program.
    task_id = call(extended, f"print(note.apply_async(({mark!r},), countdown=10).id)")
    call(extended, f"celery_app.control.revoke({task_id!r})")
    later = str(uuid4())
    call(extended, f"note.apply_async(({later!r},), countdown=10)")
    wait_for_notes(extended, later, 1)
    assert notes(extended, mark) == []
    assert_predicts(extended)


def test_a_running_task_is_terminated(extended: Deployment) -> None:
    mark = str(uuid4())
    task_id = call(extended, f"print(sleep.delay({mark!r}, 15).id)")
    wait_for_notes(extended, mark, 1)
    call(extended, f"celery_app.control.revoke({task_id!r}, terminate=True)")
    assert_predicts(extended)
    after = str(uuid4())
    call(extended, f"sleep.delay({after!r}, 6)")
    wait_for_notes(extended, after, 2)
    assert [each["event"] for each in notes(extended, mark)] == ["begun"]


def test_another_queue_can_be_added(extended: Deployment) -> None:
    mark = str(uuid4())
    done = extended.run("-m", "celery", "-A", "app.tasks", "control", "add_consumer", "reports")
    assert done.returncode == 0, done.stderr
    call(extended, f"note.apply_async(({mark!r},), queue='reports')")
    wait_for_notes(extended, mark, 1)
    assert_predicts(extended)


def test_long_tasks_leave_the_other_processes_to_predictions(extended: Deployment) -> None:
    mark = str(uuid4())
    call(extended, f"sleep.delay({mark!r}, 8)")
    wait_for_notes(extended, mark, 1)
    assert_predicts(extended)
    assert len(notes(extended, mark)) == 1


def test_predictions_stay_on_their_queue_while_tasks_keep_all_processes(
    extended: Deployment,
) -> None:
    """Where another worker finds them."""
    marks = [str(uuid4()) for _ in range(2)]
    call(extended, f"for mark in {marks!r}: sleep.delay(mark, 6)")
    for mark in marks:
        wait_for_notes(extended, mark, 1)
    task_id = extended.accept({"value": 1})
    with redis.Redis.from_url(extended.environment["REDIS_URL"]) as client:
        extended.wait(
            lambda: client.llen(PREDICTIONS_QUEUE) == 0 or len(notes(extended, marks[0])) == 2,
            "it is taken, or a task ends", 20,
        )  # fmt: skip
    assert len(notes(extended, marks[0])) == 2
    assert extended.final_status(task_id)["result"] == {"echo": 1}


def test_tasks_get_on_under_synchronous_load(extended: Deployment) -> None:
    mark = str(uuid4())
    with ThreadPoolExecutor(8) as clients:
        slow = {"do": "sleep", "seconds": 0.05}
        answers = [clients.submit(extended.predict, slow, Prefer="wait=60") for _ in range(300)]
        call(extended, f"for _ in range(5): note.delay({mark!r})")
        wait_for_notes(extended, mark, 5)
        assert {each.result().status_code for each in answers} == {200}


def test_inspect_tells_of_predictions(extended: Deployment) -> None:
    task_id = extended.accept({"do": "sleep", "seconds": 6})
    extended.wait_until_begun(task_id)
    done = extended.run("-m", "celery", "-A", "app.tasks", "inspect", "active", "--json")
    assert task_id in done.stdout
    extended.final_status(task_id)
