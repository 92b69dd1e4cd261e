"""The iris example on a Docker Swarm of three machines, one of which is killed under load.

The engines run in privileged containers.  Where the kernel has no IPVS there are neither virtual
addresses nor the ingress network, so a file beside the exported ones has the services do without;
the rest is deployed as it was exported.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from denzel.export import swarm_files, write
from denzel.polling import polls
from denzel.project import Project
from engine import docker

from .clients import Clients, seconds_until_all_ended, submit, unfinished
from .nodes import Node, load_everywhere

NETWORK = "denzel-test-swarm"
STACK = "iris"
READY_SECONDS = 400
WORKERS = 3
PROCESSES = 2 * WORKERS
"""That predict: each worker may use two processors."""
BEFORE_SECONDS, AFTER_SECONDS = 8.0, 10.0
NOTICED_SECONDS = 40.0
"""Until connections to a machine without power have been given up."""
UNHEALTHY_SECONDS = 6 * (10 + 2) + 15
"""Until a task has failed six health checks, each 10 s after the last, and has been ended."""
WITHOUT_IPVS = """
version: "3.9"
services:
  api:
    ports: [{target: 8000, published: 8000, mode: host}]
    deploy: {endpoint_mode: dnsrr}
  worker:
    deploy: {endpoint_mode: dnsrr}
  callbacks:
    deploy: {endpoint_mode: dnsrr}
  monitor:
    ports: [{target: 5555, published: 5555, mode: host}]
    deploy: {endpoint_mode: dnsrr}
"""


class Swarm:
    """Three machines.  The first is the manager, and Redis is on it.

    Several managers would have to answer each other in time, also where processors are short.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        docker("network", "create", NETWORK)

    def start(self) -> None:
        """Start the machines and join them."""
        for number in (1, 2, 3):
            self.nodes.append(Node(f"{NETWORK}-{number}", NETWORK, "dockerd"))
        for node in self.nodes:
            node.wait_until("docker", "version")
        first, *others = self.nodes
        first.run("docker", "swarm", "init", "--advertise-addr", first.address)
        token = first.run("docker", "swarm", "join-token", "--quiet", "worker").strip()
        for node in others:
            node.run("docker", "swarm", "join", "--token", token, f"{first.address}:2377")
        first.run("docker", "node", "update", "--label-add", "denzel-redis=true", first.name)

    def deploy(self, directory: Path) -> None:
        """Deploy what was exported into a directory."""
        self.nodes[0].copy(directory, "/root")
        files = ("stack.yml", "redis.yml", "test.yml")
        options = " ".join(f"-c {name}" for name in files)
        command = f"docker stack deploy --detach=true --resolve-image never {options} {STACK}"
        self.nodes[0].run("sh", "-c", f"cd /root/{directory.name} && {command}")

    def where(self, service: str) -> dict[str, str]:
        """Return the running tasks of a service, and the machine each runs on."""
        form = "{{json .}}"
        lines = self.nodes[0].run(
            "docker", "service", "ps", "--filter", "desired-state=running", "--format", form,
            f"{STACK}_{service}",
        )  # fmt: skip
        tasks = [json.loads(line) for line in lines.splitlines()]
        return {
            each["ID"]: each["Node"] for each in tasks if each["CurrentState"].startswith("Running")
        }

    def tasks(self, *services: str) -> set[str]:
        """Return the running tasks of some services."""
        return {task for service in services for task in self.where(service)}

    def wait_until_running(self, service: str, count: int, *, but: str = "") -> dict[str, str]:
        """Wait until so many tasks of a service are healthy, none on one machine; return them.

        A Swarm shows tasks of a dead machine as running until it has missed that.
        """
        for _ in polls(0.5, timeout=READY_SECONDS):
            tasks = self.where(service)
            if len(tasks) == count and but not in tasks.values():
                return tasks
        evidence = self.nodes[0].attempt("docker", "stack", "ps", "--no-trunc", STACK)
        logs = self.nodes[0].attempt("docker", "service", "logs", f"{STACK}_{service}")
        raise AssertionError(f"{tasks}\n{evidence.stdout.decode()}\n{logs.stdout.decode()}")

    def scale(self, service: str, count: int) -> dict[str, str]:
        """Have so many tasks of a service; return them when they are healthy."""
        self.nodes[0].run("docker", "service", "scale", "--detach", f"{STACK}_{service}={count}")
        return self.wait_until_running(service, count)

    def holders(self) -> int:
        """Return how many workers hold accepted requests at this moment."""
        ask = 'REDISCLI_AUTH="$(cat /opt/denzel/password)" redis-cli keys "denzel:held:*"'
        find = f"docker exec $(docker ps --quiet --filter name={STACK}_redis) sh -c '{ask}'"
        return len(self.nodes[0].run("sh", "-c", find).split())

    def said(self, service: str) -> str:
        """Return what a service's tasks on the living machines have logged."""
        command = ("timeout", "20", "docker", "service", "logs", "--raw", f"{STACK}_{service}")
        return self.nodes[0].attempt(*command).stdout.decode()

    def remove(self) -> None:
        """Leave nothing."""
        for node in self.nodes:
            node.remove()
        docker("network", "rm", NETWORK)


@pytest.fixture(scope="module")
def swarm(iris: Project, image: str) -> Iterator[Swarm]:
    """A Swarm on which the example is deployed, with a worker and an API on every machine."""
    directory = iris.root.parent / "swarm"
    write(swarm_files(iris, image), directory, force=False)
    (directory / "test.yml").write_text(WITHOUT_IPVS, encoding="utf-8")
    made = Swarm()
    try:
        made.start()
        load_everywhere(made.nodes, "docker", image, iris.settings.redis_image)
        made.deploy(directory)
        made.wait_until_running("api", 2)
        made.wait_until_running("worker", 2)
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def request_body(iris: Project) -> Any:
    """The example's request."""
    return json.loads((iris.root / "request.json").read_text(encoding="utf-8"))


def test_every_machine_with_an_api_predicts(swarm: Swarm, request_body: Any) -> None:
    serving = set(swarm.where("api").values())
    assert len(serving) == 2
    for node in swarm.nodes:
        if node.name in serving:
            url = f"http://{node.address}:8000/predict"
            answer = requests.post(url, json=request_body, timeout=30)
            assert answer.json() == {"a123": "Iris-setosa", "b456": "Iris-virginica"}


def test_workers_spread_over_the_machines(swarm: Swarm) -> None:
    names = {node.name for node in swarm.nodes}
    assert set(swarm.scale("worker", WORKERS).values()) == names
    assert set(swarm.scale("api", 3).values()) == names


def test_a_version_that_cannot_load_its_model_is_rolled_back(
    swarm: Swarm, image: str, request_body: Any
) -> None:
    broken = "denzel-test-iris:broken"
    dockerfile = (
        f"FROM {image}\nUSER root\n"
        "RUN printf 'def load_model():\\n    raise OSError(\"no such model\")\\n' "
        ">> app/logic/pipeline.py\nUSER 10001:10001\n"
    )
    build = ("env", "DOCKER_BUILDKIT=0", "docker", "build", "--quiet", "--tag", broken, "-")
    for node in swarm.nodes:
        node.run(*build, stdin=dockerfile.encode())
    service = f"{STACK}_worker"
    first = swarm.nodes[0]
    first.run(
        "docker", "service", "update", "--detach", "--no-resolve-image", "--image", broken, service
    )
    inspect = ("docker", "service", "inspect", "--format", "{{json .UpdateStatus.State}}", service)
    states = (first.run(*inspect).strip() for _ in polls(1.0, timeout=READY_SECONDS))
    assert any(state == '"rollback_completed"' for state in states)
    url = f"http://{first.address}:8000/predict"
    assert requests.post(url, json=request_body, timeout=30).ok
    swarm.wait_until_running("worker", WORKERS)


def test_while_redis_is_away_no_task_is_ended_and_afterwards_all_is_there(
    swarm: Swarm, request_body: Any
) -> None:
    address = swarm.nodes[0].address
    task_id = submit(address, request_body)
    seconds_until_all_ended(address, [task_id], since=time.monotonic())
    tasks = swarm.tasks("api", "worker", "callbacks")
    swarm.scale("redis", 0)
    try:
        _wait_for_status(address, task_id, 503)
        _run_for(UNHEALTHY_SECONDS)
        assert swarm.tasks("api", "worker", "callbacks") == tasks
    finally:
        swarm.scale("redis", 1)
    _wait_for_status(address, task_id, 200)
    assert unfinished(address, [task_id]) == []
    for _ in polls(0.5, timeout=READY_SECONDS):
        if requests.post(f"http://{address}:8000/predict", json=request_body, timeout=30).ok:
            break
    assert swarm.tasks("api", "worker", "callbacks") == tasks


def test_a_killed_machine_loses_no_accepted_request(
    swarm: Swarm, iris: Project, request_body: Any, record_property: Any
) -> None:
    at_work = swarm.where("worker").values()
    victim = next(node for node in swarm.nodes[1:] if node.name in at_work)
    serving = {name for name in swarm.where("api").values() if name != victim.name}
    asked = next(node.address for node in swarm.nodes if node.name in serving)
    flower = next(iter(request_body["data"].values()))
    long = {"data": {f"flower{number}": flower for number in range(20)}}
    clients = Clients(
        [node.address for node in swarm.nodes], request_body, threads=4, pause=0.3
    )  # fmt: skip
    try:
        _run_for(BEFORE_SECONDS)
        # Long ones, until every worker holds one; no more of them than are predicted at a time.
        begun: list[str] = []
        for _ in polls(0.1, timeout=120):
            if not unfinished(asked, begun):
                begun = [submit(asked, long) for _ in range(PROCESSES)]
                clients.accepted += begun
            if swarm.holders() == len(at_work):
                break
        victim.kill()
        killed = time.monotonic()
        _run_for(AFTER_SECONDS)
    finally:
        clients.stop()
    seconds = seconds_until_all_ended(
        asked, clients.accepted, since=killed
    )  # fmt: skip
    figures = f"{len(clients.accepted)} accepted, {clients.retries} tried again, 0 lost; "
    print(figures + f"the last had ended {seconds:.1f} s after a machine was killed")
    record_property("seconds_until_drained", seconds)
    assert len(clients.accepted) > 50
    assert seconds < iris.settings.recovery_seconds + 10
    assert "A worker has died" in swarm.said("worker")  # it held some of them
    # The others take over what ran there.
    swarm.wait_until_running("worker", len(at_work), but=victim.name)


def test_redis_s_machine_comes_back_with_all_that_was_accepted(
    swarm: Swarm, request_body: Any
) -> None:
    first = swarm.nodes[0]
    working = {*swarm.where("worker").values()} & {*swarm.where("api").values()} - {first.name}
    other = next(node for node in swarm.nodes if node.name in working)
    before = swarm.where("worker")
    clients = Clients([other.address], request_body, threads=4, pause=0.1)
    try:
        _run_for(BEFORE_SECONDS)
        first.kill()
        _run_for(NOTICED_SECONDS)
    finally:
        clients.stop()
    first.start()
    back = time.monotonic()
    _wait_for_status(other.address, clients.accepted[0], 200)
    seconds = seconds_until_all_ended(other.address, clients.accepted, since=back)
    print(f"{len(clients.accepted)} accepted, 0 lost; {seconds:.1f} s after its machine was back")
    # The worker that waited is well, and is the same.
    check = "/opt/denzel/python -EPS app/runtime/start.py app.runtime.health denzel"
    workers = f"$(docker ps --quiet --filter name={STACK}_worker)"
    other.wait_until(
        "sh", "-c", f"for each in {workers}; do docker exec $each {check} || exit; done"
    )
    there = {task for task, name in before.items() if name == other.name}
    assert there <= swarm.where("worker").keys()


def _wait_for_status(address: str, task_id: str, status: int) -> None:
    """Wait until an API answers so when a request is asked for: 503 while Redis is away."""
    for _ in polls(0.5, timeout=READY_SECONDS):
        answer = requests.get(f"http://{address}:8000/status/{task_id}", timeout=30)
        if answer.status_code == status:
            return
    raise AssertionError(answer.text)


def _run_for(seconds: float) -> None:
    for _ in polls(0.5, timeout=seconds):
        pass
