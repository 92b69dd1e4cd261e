"""``Idempotency-Key``: the same key is the same task, whatever happens in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import redis
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed


@pytest.fixture(scope="module")
def resting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment without a worker; tests start and stop one."""
    settings = {"API_WORKERS": "2"}
    with deployed(tmp_path_factory.mktemp("resting"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_api()
        deployment.wait(lambda: accepts(deployment), "every API process accepts", 20)
        yield deployment


def accepts(deployment: Deployment) -> bool:
    """Tell whether the API accepts whatever process is asked."""
    return all(deployment.predict({"value": 1}, Prefer="respond-async").ok for _ in range(8))


def ask(
    deployment: Deployment, key: str, body: object, prefer: str = "wait=20"
) -> requests.Response:
    """POST a body with an Idempotency-Key."""
    return deployment.predict(body, Prefer=prefer, **{"Idempotency-Key": key})


def runs(deployment: Deployment, mark: str) -> int:
    """Return how often the pipeline predicted for requests with this mark."""
    return sum(note.get("mark") == mark for note in deployment.trace("predict"))


def noted(mark: str) -> dict[str, object]:
    """Return a request whose prediction is noted in the trace."""
    return {"do": "note", "mark": mark}


def test_the_same_key_is_the_same_task_and_runs_once(lab: Deployment) -> None:
    key, mark = str(uuid4()), str(uuid4())
    answers = [ask(lab, key, noted(mark), "respond-async") for _ in range(5)]
    ids = {answer.json()["data"]["task_id"] for answer in answers}
    assert len(ids) == 1
    assert ids == {answer.headers["Denzel-Task-Id"] for answer in answers}
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None] + [
        "true"
    ] * 4
    assert lab.final_status(ids.pop())["result"] == {"noted": mark}
    assert ask(lab, key, noted(mark)).json() == {"noted": mark}
    assert runs(lab, mark) == 1


def test_many_at_once_with_the_same_key_run_once_and_all_get_the_answer(lab: Deployment) -> None:
    key, mark = str(uuid4()), str(uuid4())
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: ask(lab, key, noted(mark)), range(32)))
    assert {json.dumps(answer.json()) for answer in answers} == {json.dumps({"noted": mark})}
    assert len({answer.headers["Denzel-Task-Id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert runs(lab, mark) == 1


def test_a_failure_is_replayed_too(lab: Deployment) -> None:
    key = str(uuid4())
    answers = [ask(lab, key, {"do": "NameError"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [500, 500]
    assert answers[0].json() == answers[1].json()


def test_the_same_key_with_another_body_is_422(lab: Deployment) -> None:
    key = str(uuid4())
    assert ask(lab, key, {"value": 1}).json() == {"echo": 1}
    answer = ask(lab, key, {"value": 2})
    assert answer.status_code == 422
    assert answer.json()["title"] == "Idempotency-Key reused"
    assert ask(lab, key, {"value": 1}).json() == {"echo": 1}


def test_a_bad_request_does_not_use_up_its_key(lab: Deployment) -> None:
    key = str(uuid4())
    assert ask(lab, key, {"verify": "ValueError"}).status_code == 400
    assert ask(lab, key, {"value": 1}).json() == {"echo": 1}


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "é"])
def test_a_key_that_cannot_be_one_is_400(lab: Deployment, key: str) -> None:
    answer = requests.post(
        f"{lab.url}/predict",
        json={"value": 1},
        headers={"Idempotency-Key": key.encode()},
        timeout=10,
    )
    assert answer.status_code == 400
    assert lab.predict({"value": 1}).status_code == 200


def test_a_key_whose_task_is_gone_is_published_again_under_its_id(resting: Deployment) -> None:
    """What an API process that died between claim and publishing would have left."""
    key = str(uuid4())
    first = ask(resting, key, {"value": 1}, "respond-async").json()["data"]["task_id"]
    client = redis.Redis.from_url(resting.environment["REDIS_URL"])
    client.delete(f"denzel:task:{first}", f"denzel:request:{first}", "predictions")
    assert ask(resting, key, {"value": 1}, "respond-async").json()["data"]["task_id"] == first
    assert client.llen("predictions") == 1
    resting.start_worker()
    assert resting.final_status(first)["result"] == {"echo": 1}
    resting.services.pop("denzel").kill()


def test_a_key_outlives_the_api_and_redis(resting: Deployment) -> None:
    key = str(uuid4())
    first = ask(resting, key, {"value": 1}, "respond-async").json()["data"]["task_id"]
    resting.services.pop("api").kill()
    resting.services.pop("redis").stop()
    resting.start_redis()
    resting.start_api()
    resting.wait(lambda: accepts(resting), "every API process accepts", 20)
    again = ask(resting, key, {"value": 1}, "respond-async")
    assert again.json()["data"]["task_id"] == first
    assert ask(resting, key, {"value": 2}, "respond-async").status_code == 422
