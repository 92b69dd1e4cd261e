"""What SIGTERM does: what is under way is finished, nobody else is waited for."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
import requests

from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE, WORKERS_KEY

from .conftest import OBEDIENT
from .deployment import Deployment, deployed
from .service import Service

PROMPT_SECONDS = 6.0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Deployment]:
    """Yield a deployment that is up; the tests stop its services."""
    with deployed(tmp_path, OBEDIENT, {"WORKER_CONCURRENCY": "2"}) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        deployment.wait(lambda: deployment.predict({}).ok, "predictions are answered")
        yield deployment


def end(service: Service) -> float:
    """Send SIGTERM; return how many seconds the service took to end well."""
    started = time.monotonic()
    service.process.terminate()
    assert service.process.wait(40) == 0, service.output()
    return time.monotonic() - started


def group_is_empty(service: Service) -> bool:
    """Tell whether no process that the service started is left."""
    try:
        os.killpg(service.pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_clients_that_keep_idle_connections_do_not_hold_the_api_up(running: Deployment) -> None:
    """Neither those that have been answered nor those that never asked."""
    api = running.services["api"]
    with ExitStack() as connections:
        for _ in range(5):
            session = connections.enter_context(requests.Session())
            assert session.get(f"{running.url}/info", timeout=10).ok
            address = ("127.0.0.1", int(running.environment["API_PORT"]))
            connections.enter_context(socket.create_connection(address, timeout=10))
        assert end(api) < PROMPT_SECONDS
    running.wait(lambda: group_is_empty(api), "no process of the API is left")


def test_a_request_under_way_is_answered_before_the_api_ends(running: Deployment) -> None:
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(running.predict, {"do": "sleep", "seconds": 2.0}, Prefer="wait=30")
        running.wait(lambda: running.trace("sleep"), "the prediction is under way")
        assert 1.0 < end(running.services["api"]) < PROMPT_SECONDS + 2
        assert answer.result().json() == {"slept": 2.0}


def test_clients_that_are_waited_for_no_longer_are_told(running: Deployment) -> None:
    running.services.pop("api").stop()
    running.start(
        "api", sys.executable, "-m", "gunicorn", "--graceful-timeout", "3",
        "--config", "app/runtime/api/server/gunicorn_conf.py", "app.runtime.api.app:create_app()",
    )  # fmt: skip
    running.wait_for("api", running.info_answers)
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(running.predict, {"do": "sleep", "seconds": 9.0}, Prefer="wait=30")
        running.wait(lambda: running.trace("sleep"), "the prediction is under way")
        end(running.services["api"])
        told = answer.result()
    assert (told.status_code, told.json()["title"]) == (503, "API stopped")
    assert told.json()["description"].startswith("The API was stopped before")
    assert told.headers["Retry-After"] == "5"
    assert "Traceback" not in running.services["api"].log.read_text(errors="replace")


UPLOAD = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000\r\n\r\n{"
)
INFLATE = b'{"do": "inflate", "size": 20000000}'


def test_clients_that_stall_do_not_have_the_api_killed(running: Deployment) -> None:
    """Neither one that stops in the midst of its request nor one that takes no answer."""
    address = ("127.0.0.1", int(running.environment["API_PORT"]))
    with (
        socket.create_connection(address, timeout=20) as sender,
        socket.socket() as receiver,
    ):
        sender.sendall(UPLOAD)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        receiver.connect(address)
        head = UPLOAD.replace(b"100000", b"%d" % len(INFLATE)).removesuffix(b"{")
        receiver.sendall(head + INFLATE)
        assert receiver.recv(15) == b"HTTP/1.1 200 OK"
        assert end(running.services["api"]) < PROMPT_SECONDS + 6


def test_a_client_that_sends_on_steadily_is_answered_though_the_api_ends(
    running: Deployment,
) -> None:
    body = b'{"value": "' + b"x" * 99987 + b'"}'
    address = ("127.0.0.1", int(running.environment["API_PORT"]))
    with (
        socket.create_connection(address, timeout=20) as client,
        ThreadPoolExecutor(1) as ending,
    ):
        client.sendall(UPLOAD)
        ended = ending.submit(end, running.services["api"])
        beat = threading.Event()
        for first in range(1, len(body), 10000):
            beat.wait(0.8)
            client.sendall(body[first : first + 10000])
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        ended.result()


def test_a_restart_of_the_api_loses_no_request(running: Deployment) -> None:
    """Clients that use their connections over and over are told when one ends."""
    api = running.services["api"]
    address = ("127.0.0.1", int(running.environment["API_PORT"]))
    done = threading.Event()

    def ask() -> int:
        asked = 0
        connection = http.client.HTTPConnection(*address, timeout=10)
        while not done.is_set():
            connection.request("POST", "/predict", b'{"value": 1}')
            assert connection.getresponse().read() == b'{"echo":1}'
            asked += 1
        connection.close()
        return asked

    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask) for _ in range(4)]
        try:
            for count in (1, 2, 3):
                os.kill(api.pid, signal.SIGHUP)
                # A process that is told to end before it has started says nothing.
                running.wait(
                    lambda count=count: (  # type: ignore[misc]
                        api.output().count("Finished server process") == count
                        and api.output().count("Application startup complete") == count + 1
                    ),
                    "the process before has ended, the next has started",
                    20,
                )
        finally:
            done.set()
        assert all(each.result() for each in asking)


def test_when_the_apis_main_process_is_killed_the_others_end(running: Deployment) -> None:
    """It would keep the port from the next."""
    api = running.services["api"]
    api.process.kill()
    api.process.wait(10)

    def answers() -> bool:
        try:
            return requests.get(f"{running.url}/info", timeout=10).ok
        except requests.ConnectionError:
            return False

    running.wait(lambda: not answers(), "nobody listens on the port", 20)


@pytest.mark.parametrize("prefer", ["respond-async", "wait=30"])
def test_of_a_task_taken_while_the_worker_ends_nothing_is_left_to_recover(
    running: Deployment, prefer: str
) -> None:
    """The worker finds both when it wakes up: the task, and that it shall end.

    Whichever comes first: it has predicted the task or put it back, so that nobody waits until
    its lease has run out.
    """
    worker = running.services["denzel"]
    queue = PREDICTIONS_QUEUE if prefer == "respond-async" else SYNC_QUEUE
    with (
        ThreadPoolExecutor(1) as clients,
        redis.Redis(unix_socket_path=str(running.redis_socket)) as client,
    ):
        os.kill(worker.pid, signal.SIGSTOP)
        answer = clients.submit(running.predict, {"value": 1}, Prefer=prefer)
        running.wait(lambda: client.llen(queue) == 1, "the task is on its queue")
        worker.process.terminate()
        os.kill(worker.pid, signal.SIGCONT)
        assert worker.process.wait(15) == 0, worker.output()
        assert client.keys("denzel:held*") == []
        assert client.exists(WORKERS_KEY) == 0
        running.start_worker()
        if prefer == "respond-async":
            task_id = answer.result().json()["data"]["task_id"]
            assert running.final_status(task_id)["result"] == {"echo": 1}
        else:
            assert answer.result().json() == {"echo": 1}


def test_a_prediction_under_way_is_finished_before_the_worker_ends(running: Deployment) -> None:
    worker = running.services["denzel"]
    task_id = running.accept({"do": "sleep", "seconds": 2.0})
    running.wait(lambda: running.trace("sleep"), "the prediction is under way")
    waiting = running.accept({"value": "later"})
    end(worker)
    assert running.status(task_id)["result"] == {"slept": 2.0}
    running.wait(lambda: group_is_empty(worker), "no process of the worker is left")
    running.start_worker()
    assert running.final_status(waiting)["result"] == {"echo": "later"}


def test_services_end_though_redis_hangs(running: Deployment) -> None:
    """Nothing that is asked of it then is waited for without end."""
    running.start_monitor()
    running.start_callbacks()
    running.services["redis"].signal(signal.SIGSTOP)
    ending = ["api", "denzel", "monitor", "callbacks"]
    for name in ending:
        running.services[name].process.terminate()
    for name in ending:
        service = running.services[name]
        assert service.process.wait(60) == 0, service.output()
