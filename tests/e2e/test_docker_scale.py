"""Several workers and APIs in Docker, as one deployment from its launch to plain Compose."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from denzel.polling import polls
from docker_deployment import SOON, Deployment, wait_for
from engine import crash, docker, require_engine

pytestmark = pytest.mark.docker

CADDY = """\
FROM python:3.13-slim
RUN apt-get update && apt-get install --yes --no-install-recommends caddy
"""
READY_SECONDS = 600
CLIENTS = 4


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a launched iris project with two workers and two APIs."""
    require_engine()
    life = Deployment(tmp_path_factory.mktemp("e2e"), f"scale-{os.getpid()}", "--example", "iris")
    image = f"{life.name}-caddy:2"
    subprocess.run(
        ["docker", "build", "--tag", image, "-"],
        input=CADDY, text=True, capture_output=True, timeout=300, check=True,
    )  # fmt: skip
    life.project.set_environment(CADDY_IMAGE=image, WORKER_CONCURRENCY="1", API_WORKERS="1")
    try:
        life.launch()
        life.wait_until_ready()
        life.run("response", "--sync", "--timeout", "50")  # a busy machine fails no request
        yield life
    finally:
        life.end()
        docker("rmi", image)


def numbers(life: Deployment) -> dict[str, tuple[int, int]]:
    """Return how many replicas of each service are wanted, and run."""
    found = json.loads(life.run("scale", "--json"))
    return {each["service"]: (each["wanted"], each["running"]) for each in found}


def wait_until_scaled(life: Deployment, **wanted: int) -> list[str]:
    """Return the workers' names once everything is up, with so many replicas."""
    document: dict[str, object] = {}
    for _ in polls(0.5, timeout=READY_SECONDS):
        document = json.loads(life.run("status", "--json"))
        replicas = {each["name"]: each["replicas"] for each in document["services"]}  # type: ignore[attr-defined]
        if document["ready"] and wanted.items() <= replicas.items():
            names = [each["name"] for each in document["workers"]]  # type: ignore[attr-defined]
            if len(names) == wanted.get("denzel", len(names)):
                return sorted(names)
    pytest.fail(f"not scaled: {document}\n{life.run('logs', '--tail', '30')}")


@contextmanager
def load(life: Deployment) -> Iterator[Counter[str]]:
    """Ask for predictions all the time; count what came of each, by status or error."""
    found: Counter[str] = Counter()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                answer = life.predict()
                found[str(answer.status_code)] += 1
            except requests.RequestException as error:
                found[type(error).__name__] += 1

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_scale_starts_replicas_and_a_balancer(life: Deployment) -> None:
    direct = requests.get(f"{life.api}/info", timeout=SOON)
    life.run("scale", "denzel=2", "api=2")
    names = wait_until_scaled(life, denzel=2, api=2)
    assert names == [f"worker-2@{life.name}", f"worker@{life.name}"]
    assert numbers(life) == {"denzel": (2, 2), "api": (2, 2)}
    status = life.run("status")
    assert f"    api - UP [ Port: {life.api_port} ] [ Replicas: 2 ]" in status
    assert "    balancer - UP" in status
    balanced = requests.get(f"{life.api}/info", timeout=SOON)
    assert balanced.text == direct.text
    changing = {"date"}
    shown = [
        {
            name.lower(): value
            for name, value in answer.headers.items()
            if name.lower() not in changing
        }
        for answer in (balanced, direct)
    ]
    assert shown[0] == shown[1]
    assert life.predict().status_code == 200


def test_the_balancer_changes_nothing_that_clients_see(life: Deployment) -> None:
    large = requests.post(
        f"{life.api}/predict", data=b" " * (int(life.project.settings.max_body_bytes) + 1),
        headers={"Content-Type": "application/json"}, timeout=SOON,
    )  # fmt: skip
    assert large.status_code == 413
    assert large.json()["title"]
    malformed = requests.post(f"{life.api}/predict", data=b"{", timeout=SOON)
    assert (malformed.status_code, malformed.json()["title"]) == (400, "Malformed JSON")
    foreign = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "elsewhere.example"}
    requests.post(f"{life.api}/predict", data=b"{", headers=foreign, timeout=SOON)
    logged = [line for line in life.run("logs", "--service", "api").splitlines() if " 400 " in line]
    assert logged
    assert not any("203.0.113.9" in line for line in logged)  # it is believed of nobody


def test_flower_shows_all_workers(life: Deployment) -> None:
    def shown() -> set[str]:
        page = requests.get(f"http://127.0.0.1:{life.monitor_port}/workers", timeout=SOON).text
        names = (f"worker@{life.name}", f"worker-2@{life.name}")
        return {name for name in names if f">{name}<" in page or f'"{name}"' in page}

    assert wait_for(lambda: len(shown()) == 2)


def test_the_other_replicas_answer_when_one_dies(life: Deployment) -> None:
    with load(life) as found:
        crash(f"{life.name}-api-2")
        assert wait_for(lambda: found["200"] > 60)
    assert sum(found.values()) - found["200"] <= 2 * CLIENTS  # what was under way on it
    wait_until_scaled(life, denzel=2, api=2)


def test_a_reload_replaces_every_replica_under_load(life: Deployment) -> None:
    path = life.root / "app" / "logic" / "pipeline.py"
    with load(life) as found:
        assert wait_for(lambda: found["200"] > 20)
        path.write_text(path.read_text() + "# changed\n")
        said = life.run("reload")
    assert all(f"Replacing {name}" in said for name in ("denzel-2", "api-2"))
    assert list(found) == ["200"]


def test_plain_compose_starts_as_many(life: Deployment) -> None:
    subprocess.run(
        ["docker", "compose", "down", "--timeout", "5"],
        cwd=life.root, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    life.project.set_environment(API_PORT=str(life.api_port), MONITOR_PORT=str(life.monitor_port))
    done = subprocess.run(
        ["docker", "compose", "up", "--detach", "--no-build"],
        cwd=life.root, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = wait_until_scaled(life, denzel=2, api=2)
    assert names == [f"worker-2@{life.name}", f"worker@{life.name}"]
    assert life.predict().status_code == 200


def test_scaled_back_the_api_has_its_port_itself(life: Deployment) -> None:
    life.run("scale", "denzel=1", "api=1")
    (name,) = wait_until_scaled(life, denzel=1, api=1)
    # Whichever Compose leaves keeps its name until it is started anew.
    assert name in (f"worker@{life.name}", f"worker-2@{life.name}")
    assert "balancer" not in life.run("status")
    assert life.predict().status_code == 200
    assert "balancer" not in Path(life.root, ".env").read_text()
