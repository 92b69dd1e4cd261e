"""Who gets in: API keys, the monitor's credentials, Redis's password; and who sees no secret."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

KEYS = {"shop": "dz_first-key", "till": "dz_second-key", "shop till": "dz_third-key"}
PASSWORD = 'p@ss:w/or d"?#%'
"""Everything that has a meaning in a URL."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment with keys and passwords for everything."""
    hashes = {name: hashlib.sha256(key.encode()).hexdigest() for name, key in KEYS.items()}
    settings = {
        "API_KEYS": ", ".join(f"{name}:{digest}" for name, digest in hashes.items()),
        "REDIS_PASSWORD": PASSWORD,
        "MONITOR_USER": "admin",
        "MONITOR_PASSWORD": "a,b c",
        "MONITOR_HOST": "0.0.0.0",
    }
    with deployed(tmp_path_factory.mktemp("guarded"), OBEDIENT, settings) as deployment:
        deployment.start_redis("--requirepass", PASSWORD)
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.start_callbacks()
        deployment.start_monitor(wait=False)
        deployment.wait_for_worker()
        deployment.wait_for("monitor", lambda: deployment.state("monitor")[0] == "UP")
        yield deployment


def predict(deployment: Deployment, **headers: str) -> requests.Response:
    """Ask for a prediction."""
    return requests.post(
        f"{deployment.url}/predict", json={"value": 1}, headers=headers, timeout=30
    )


def test_probes_need_no_key_and_are_told_no_more_than_they_need(guarded: Deployment) -> None:
    for path in ("live", "ready"):
        assert requests.get(f"{guarded.url}/health/{path}", timeout=10).status_code == 200
        url = f"http://127.0.0.1:{guarded.environment['API_PORT']}/health/{path}"
        assert requests.head(url, headers={"Host": "10.1.2.3:8000"}, timeout=10).ok


def assert_unauthorized(answer: requests.Response) -> None:
    """Check the answer to somebody without a key."""
    assert answer.status_code == 401
    assert answer.json()["title"] == "Unauthorized"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


# The API


@pytest.mark.parametrize("key", KEYS.values())
def test_a_key_lets_in_either_way(guarded: Deployment, key: str) -> None:
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer  {key}"},
        {"Authorization": f"Bearer {key} "},
        {"X-API-Key": key},
        {"X-API-Key": f"{key} \t"},
    ):
        assert predict(guarded, **headers).json() == {"echo": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer dz_wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic ZHpfZmlyc3Qta2V5"},
        {"Authorization": "dz_first-key"},
        {"X-API-Key": "dz_first-ke"},
        {"X-API-Key": hashlib.sha256(b"dz_first-key").hexdigest()},
        {"X-API-Key": "shop"},
        {"X-API-Key": ""},
        {"X-API-Key": "é".encode().decode("latin-1")},
    ],
)
def test_without_a_key_everything_but_info_is_401(
    guarded: Deployment, headers: dict[str, str]
) -> None:
    assert_unauthorized(predict(guarded, **headers))
    ask = {"headers": headers, "timeout": 10}
    assert_unauthorized(requests.get(f"{guarded.url}/status/{uuid4()}", **ask))  # type: ignore[arg-type]
    assert_unauthorized(requests.post(f"{guarded.url}/cancel/{uuid4()}", **ask))  # type: ignore[arg-type]
    assert_unauthorized(requests.get(f"{guarded.url}/nothing", **ask))  # type: ignore[arg-type]
    assert requests.get(f"{guarded.url}/info", **ask).ok  # type: ignore[arg-type]


def test_a_request_without_a_key_is_refused_before_its_body_is_looked_at(
    guarded: Deployment,
) -> None:
    answer = requests.post(f"{guarded.url}/predict", data=b"no JSON", timeout=10)
    assert_unauthorized(answer)


def test_two_clients_may_use_the_same_idempotency_key(guarded: Deployment) -> None:
    key = str(uuid4())
    ids = {
        predict(guarded, **{"X-API-Key": each, "Idempotency-Key": key}).headers["Denzel-Task-Id"]
        for each in KEYS.values()
    }
    assert len(ids) == len(KEYS)


def test_no_idempotency_key_can_be_told_to_be_another_callers(guarded: Deployment) -> None:
    key = str(uuid4())
    ids = {
        predict(
            guarded, **{"X-API-Key": KEYS[name], "Idempotency-Key": each, "Prefer": "wait=20"}
        ).headers["Denzel-Task-Id"]
        for name, each in (("shop", f"till {key}"), ("shop till", key))
    }
    assert len(ids) == 2


@pytest.mark.parametrize("kind", ["sync", "timed out", "async", "keyed"])
def test_a_request_belongs_to_the_key_it_came_with(guarded: Deployment, kind: str) -> None:
    """To others its id is unknown, however it was asked for and wherever it stands."""
    headers = {
        "sync": {"Prefer": "wait=20"},
        "timed out": {"Prefer": "wait=1"},
        "async": {"Prefer": "respond-async"},
        "keyed": {"Prefer": "respond-async", "Idempotency-Key": str(uuid4())},
    }[kind]
    body = {"do": "sleep", "seconds": 2} if kind == "timed out" else {"value": 1}
    mine, other = ({"X-API-Key": KEYS[name]} for name in ("shop", "till"))
    answer = requests.post(
        f"{guarded.url}/predict", json=body, headers={**mine, **headers}, timeout=30
    )
    assert answer.status_code == (504 if kind == "timed out" else 200)
    task_id = answer.headers["Denzel-Task-Id"]

    def asked(headers: dict[str, str]) -> list[requests.Response]:
        url = f"{guarded.url}/status/{task_id}"
        return [
            requests.get(url, headers=headers, timeout=10),
            requests.get(url, params={"wait": "20"}, headers=headers, timeout=30),
            requests.post(f"{guarded.url}/cancel/{task_id}", headers=headers, timeout=10),
        ]

    for _ in range(2):  # before its end, and after it
        for refused in asked(other):
            assert (refused.status_code, refused.json()["title"]) == (404, "Unknown task")
            assert "echo" not in refused.text
        status, waited, cancelled = asked(mine)
        assert status.status_code == 200
        assert waited.json()["status"] == "SUCCESS"
        assert cancelled.status_code == 409


def test_ids_share_nothing(guarded: Deployment) -> None:
    """Of one, nothing of another can be guessed: each is a random UUID."""
    headers = {"X-API-Key": KEYS["shop"]}
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: predict(guarded, **headers), range(100)))
    ids = [UUID(answer.headers["Denzel-Task-Id"]) for answer in answers]
    assert {each.version for each in ids} == {4}
    numbers = sorted(each.int for each in ids)
    nearest = min(after - before for before, after in pairwise(numbers))
    assert nearest > 2**64


def test_every_answer_has_the_headers_of_a_json_api(guarded: Deployment) -> None:
    answers = [
        predict(guarded),
        predict(guarded, **{"X-API-Key": KEYS["shop"]}),
        requests.get(f"{guarded.url}/info", timeout=10),
        requests.get(f"{guarded.url}/nothing", headers={"X-API-Key": KEYS["shop"]}, timeout=10),
    ]
    assert [answer.status_code for answer in answers] == [401, 200, 200, 404]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "denzel"


# The monitor


def monitor(deployment: Deployment, path: str, user: str = "", password: str = "") -> int:
    """Return the status of a page of the monitor."""
    credentials = (user, password) if user else None
    url = f"{deployment.monitor_url}{path}"
    return requests.get(url, auth=credentials, timeout=10).status_code


def test_the_monitor_asks_for_its_credentials(guarded: Deployment) -> None:
    for path in ("/", "/workers", "/tasks", "/api/workers", "/api/tasks"):
        assert monitor(guarded, path) == 401, path
        assert monitor(guarded, path, "admin", "a") == 401, path
        assert monitor(guarded, path, "root", "a,b c") == 401, path
    for path in ("/workers", "/api/tasks"):
        assert monitor(guarded, path, "admin", "a,b c") == 200, path


def test_no_page_of_the_monitor_shows_redis_password(guarded: Deployment) -> None:
    def page(path: str) -> str:
        return requests.get(
            f"{guarded.monitor_url}{path}", auth=("admin", "a,b c"), timeout=30
        ).text

    guarded.wait(
        lambda: "redis.sock" in page("/api/workers?refresh=1"), "the monitor knows the worker", 20
    )
    for path in ("/worker/worker@lab", "/api/workers", "/broker", "/workers"):
        shown = page(path)
        assert "p@ss" not in shown, path
        assert "p%40ss" not in shown, path


def control(deployment: Deployment, path: str, **parameters: str) -> int:
    """Try to change something through the monitor; return the status."""
    return requests.post(
        f"{deployment.monitor_url}{path}",
        params=parameters,
        auth=("admin", "a,b c"),
        timeout=10,
    ).status_code


CONTROLS = {
    "/api/worker/shutdown/worker@lab": {},
    "/api/worker/pool/shrink/worker@lab": {"n": "1"},
    "/api/worker/queue/cancel-consumer/worker@lab": {"queue": "predictions"},
    "/api/task/revoke/some-id": {"terminate": "true"},
    "/api/task/async-apply/app.tasks.invoke_predict": {},
    "/api/task/send-task/app.tasks.invoke_predict": {},
}


@pytest.mark.parametrize("path", CONTROLS)
def test_nothing_can_be_changed_through_the_monitor(guarded: Deployment, path: str) -> None:
    assert control(guarded, path, **CONTROLS[path]) == 403
    assert predict(guarded, **{"X-API-Key": KEYS["shop"]}).json() == {"echo": 1}


def test_the_monitor_may_change_things_when_it_is_asked_to(tmp_path: Path) -> None:
    settings = {"MONITOR_CONTROL": "1", "FLOWER_UNAUTHENTICATED_API": "true"}
    with deployed(tmp_path, OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker()
        deployment.start_monitor()
        deployment.wait(
            lambda: control(deployment, "/api/worker/shutdown/worker@lab") == 200,
            "the monitor knows the worker",
        )
        worker = deployment.services["denzel"]
        deployment.wait(lambda: not worker.is_running(), "the worker is shut down", 20)


@pytest.mark.parametrize(
    "settings",
    [
        {"MONITOR_HOST": "0.0.0.0"},
        {"MONITOR_HOST": "::"},
        {"MONITOR_HOST": "0.0.0.0", "MONITOR_USER": "admin"},
        {"MONITOR_USER": "admin"},
        {"MONITOR_PASSWORD": "alone"},
        {"MONITOR_PUBLISHED": "0.0.0.0"},
    ],
    ids=str,
)
def test_a_monitor_for_everybody_is_not_started(tmp_path: Path, settings: dict[str, str]) -> None:
    with deployed(tmp_path, OBEDIENT, settings) as deployment:
        deployment.start_monitor(wait=False)
        deployment.wait(lambda: deployment.state("monitor")[0] == "ERROR", "it says ERROR", 20)
        reason = deployment.state("monitor")[1]
        assert "MONITOR_USER" in reason
        assert "MONITOR_PASSWORD" in reason
        with pytest.raises(requests.ConnectionError):
            monitor(deployment, "/")
        deployment.services["monitor"].stop(5)


# Redis, and secrets


def test_redis_lets_nobody_in_without_the_password(guarded: Deployment) -> None:
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(unix_socket_path=str(guarded.redis_socket)).dbsize()


def test_everything_works_with_a_password_that_has_meaning_in_urls(guarded: Deployment) -> None:
    accepted = requests.post(
        f"{guarded.url}/predict",
        json={"value": 1},
        headers={"X-API-Key": KEYS["shop"], "Prefer": "respond-async"},
        timeout=10,
    )
    task_id = accepted.json()["data"]["task_id"]

    def status() -> str:
        answer = requests.get(
            f"{guarded.url}/status/{task_id}",
            params={"wait": "10"},
            headers={"X-API-Key": KEYS["shop"]},
            timeout=20,
        )
        return str(answer.json()["status"])

    assert status() == "SUCCESS"
    listed = guarded.run("-m", "app.runtime.admin", "callbacks")
    assert (listed.returncode, listed.stdout) == (0, "[]\n"), listed.stderr


def test_no_secret_stands_in_a_log_or_a_command_line(guarded: Deployment) -> None:
    secrets = [PASSWORD, "p%40ss", "a,b c", *KEYS.values()]
    texts = [path.read_text(encoding="utf-8") for path in (guarded.directory / "logs").iterdir()]
    mine = {service.pid for name, service in guarded.services.items() if name != "redis"}
    for pid in mine | children(mine):  # these tests themselves gave Redis its password this way
        with contextlib.suppress(OSError):
            texts.append(Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace"))
    assert len(texts) > 10
    for secret in secrets:
        assert not any(secret in text for text in texts), secret


def children(parents: set[int]) -> set[int]:
    """Return the processes that these have started."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) in parents:
            found.add(int(status.parent.name))
    return found
