"""What a deployment takes on: how much, how long, and from how slow a client."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import requests

from app.runtime.store.keys import PREDICTIONS_QUEUE

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

MEGABYTE = 2**20
CLIENT_TIMEOUT = 2


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment with low limits, three API processes and no worker."""
    settings = {
        "API_WORKERS": "3",
        "MAX_QUEUE": "5",
        "MAX_WAITING": "2",
        "CLIENT_TIMEOUT": str(CLIENT_TIMEOUT),
        "MAX_HEADER_BYTES": "1000",
        "PREDICTION_TIMEOUT": "1",
    }
    with deployed(tmp_path_factory.mktemp("narrow"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_api()
        deployment.wait(lambda: connected(deployment), "every API process is connected", 20)
        yield deployment


@pytest.fixture
def predicting(narrow: Deployment) -> Iterator[Deployment]:
    """Yield the narrow deployment with a worker."""
    narrow.start_worker()
    yield narrow
    narrow.services.pop("denzel").kill()


def connected(deployment: Deployment) -> bool:
    """Tell whether the API knows Redis whatever process is asked."""
    answers = [requests.get(f"{deployment.url}/status/x", timeout=10) for _ in range(12)]
    return all(answer.status_code == 404 for answer in answers)


def client(deployment: Deployment) -> redis.Redis:
    """Return a connection to the deployment's Redis."""
    return redis.Redis.from_url(deployment.environment["REDIS_URL"])


def assert_refused(answer: requests.Response, title: str) -> None:
    """Check a 503 that says when to come again."""
    assert answer.status_code == 503
    assert answer.json()["title"] == title
    assert int(answer.headers["Retry-After"]) > 0
    assert "Denzel-Task-Id" not in answer.headers


# The queue


@pytest.mark.parametrize("keyed", [False, True])
def test_a_full_queue_is_503_and_nothing_is_queued(narrow: Deployment, keyed: bool) -> None:
    client(narrow).flushall()

    def ask(number: int) -> requests.Response:
        headers = {"Idempotency-Key": str(number)} if keyed else {}
        return narrow.predict({"value": number}, Prefer="respond-async", **headers)

    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(ask, range(24)))
    accepted = [answer for answer in answers if answer.status_code == 200]
    assert len(accepted) == 5
    for answer in answers:
        if answer.status_code != 200:
            assert_refused(answer, "Queue full")
    assert client(narrow).llen(PREDICTIONS_QUEUE) == 5
    assert len(client(narrow).keys("denzel:request:*")) == 5
    ids = [answer.json()["data"]["task_id"] for answer in accepted]
    # What is there already is answered as ever.
    if keyed:
        again = [number for number in range(24) if answers[number].status_code == 200]
        assert [ask(number).json()["data"]["task_id"] for number in again] == ids
    narrow.start_worker()
    assert {narrow.final_status(task_id)["status"] for task_id in ids} == {"SUCCESS"}
    assert ask(100).status_code == 200
    narrow.services.pop("denzel").kill()


def test_too_many_who_wait_are_503(narrow: Deployment) -> None:
    client(narrow).flushall()
    with ThreadPoolExecutor(12) as clients:
        jobs = [
            clients.submit(narrow.predict, {"value": number}, Prefer="wait=2")
            for number in range(12)
        ]
        answers = [job.result() for job in jobs]
    # Two in each process at most, and connections are not spread evenly.
    statuses = sorted(answer.status_code for answer in answers)
    assert 2 <= statuses.count(504) <= 6
    assert statuses.count(503) == 12 - statuses.count(504)
    for answer in answers:
        if answer.status_code == 503:
            assert_refused(answer, "Too many waiting")
    # Their places are free again.
    assert narrow.predict({"value": 1}, Prefer="wait=1").status_code == 504


def test_a_client_that_leaves_frees_its_place(narrow: Deployment) -> None:
    for _ in range(12):
        with contextlib.suppress(requests.exceptions.ReadTimeout):
            requests.post(
                f"{narrow.url}/predict", json={}, headers={"Prefer": "wait=60"}, timeout=0.1
            )
    narrow.wait(
        lambda: narrow.predict({"value": 1}, Prefer="wait=1").status_code == 504,
        "there is a place",
        10,
    )


# Redis's memory


def test_full_memory_is_503_and_what_was_accepted_is_predicted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with deployed(tmp_path_factory.mktemp("full"), OBEDIENT, {}) as deployment:
        deployment.start_redis("--maxmemory", "24mb", "--maxmemory-policy", "noeviction")
        deployment.start_api()
        deployment.wait(lambda: connected(deployment), "the API is connected", 20)
        large = {"value": "x" * 300_000}
        accepted = []
        for _ in range(200):
            answer = deployment.predict(large, Prefer="respond-async")
            if answer.status_code != 200:
                break
            accepted.append(answer.json()["data"]["task_id"])
        assert_refused(answer, "Queue full")
        assert "memory" in answer.json()["description"]
        assert 20 < len(accepted) < 80
        for prefer in ("respond-async", "wait=1"):
            assert_refused(deployment.predict(large, Prefer=prefer), "Queue full")
        assert requests.get(f"{deployment.url}/info", timeout=10).ok
        used = client(deployment).info("memory")["used_memory"]
        assert used < 24 * MEGABYTE
        deployment.start_worker()
        for task_id in accepted:
            assert deployment.final_status(task_id, 60)["status"] == "SUCCESS"
        client(deployment).flushall()
        deployment.wait(
            lambda: deployment.predict({"value": 1}, Prefer="wait=10").status_code == 200,
            "there is room again",
            10,
        )


def test_memory_that_is_full_to_the_last_byte_loses_no_prediction(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whoever filled it: another program, or results larger than anybody thought."""
    settings = {"RECOVERY_SECONDS": "5"}
    with deployed(tmp_path_factory.mktemp("bursting"), OBEDIENT, settings) as deployment:
        deployment.start_redis("--maxmemory", "24mb", "--maxmemory-policy", "noeviction")
        deployment.start_api()
        deployment.start_worker()
        deployment.wait(lambda: connected(deployment), "the API is connected", 20)
        ids = [deployment.accept({"do": "inflate", "size": 300_000}) for _ in range(8)]
        fill(client(deployment))
        for prefer in ("respond-async", "wait=1"):
            deployment.wait(
                lambda prefer=prefer: (
                    deployment.predict({"value": 1}, Prefer=prefer).status_code  # type: ignore[misc]
                    == 503
                ),
                "requests are refused",
                10,
            )
        # What was accepted has room for its result: nothing of it waits for memory.
        assert {deployment.final_status(each, 60)["status"] for each in ids} == {"SUCCESS"}
        client(deployment).delete("filler")
        deployment.wait(lambda: deployment.predict({"value": 1}).ok, "there is room again", 20)


def fill(full: redis.Redis) -> None:
    """Fill Redis's memory to the last byte."""
    for size in (10_000, 1_000, 100, 10):
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            while True:
                full.rpush("filler", b"x" * size)


# Long predictions


def test_a_prediction_that_takes_too_long_fails_and_its_process_goes_on(
    predicting: Deployment,
) -> None:
    before = predicting.predict({"do": "whoami", "seconds": 0}, Prefer="wait=20").json()["pid"]
    began = time.monotonic()
    answer = predicting.predict({"do": "sleep", "seconds": 60}, Prefer="wait=20")
    assert answer.status_code == 500
    assert "PredictionTooLong: the prediction took longer than 1 s" in answer.json()["description"]
    assert time.monotonic() - began < 3
    failed = predicting.final_status(predicting.accept({"do": "sleep", "seconds": 60}))
    assert (failed["status"], failed["result"]["type"]) == ("FAILURE", "PredictionTooLong")
    assert predicting.predict({"do": "sleep", "seconds": 0.8}, Prefer="wait=20").status_code == 200
    after = predicting.predict({"do": "whoami", "seconds": 0}, Prefer="wait=20").json()["pid"]
    assert after == before


def test_of_a_group_only_the_one_that_takes_too_long_fails(predicting: Deployment) -> None:
    busy = predicting.accept({"do": "sleep", "seconds": 0.7})
    bodies = [{"value": 0}, {"do": "sleep", "seconds": 60}, {"value": 2}, {"value": 3}]
    with ThreadPoolExecutor(4) as clients:
        ids = list(clients.map(predicting.accept, bodies))
    states = [predicting.final_status(task_id)["status"] for task_id in ids]
    assert states == ["SUCCESS", "FAILURE", "SUCCESS", "SUCCESS"]
    predicting.final_status(busy)


def test_one_that_cannot_be_interrupted_is_ended_and_the_worker_lives_on(
    predicting: Deployment,
) -> None:
    stubborn = {"do": "never give in", "seconds": 120}
    with ThreadPoolExecutor(3) as clients:
        waiting = clients.submit(predicting.predict, stubborn, Prefer="wait=50")
        began = time.monotonic()
        answer = waiting.result()
        assert answer.status_code == 500
        assert "PredictionTooLong" in answer.json()["description"]
        assert 9 < time.monotonic() - began < 20
    bodies = [stubborn, {"value": 1}, {"value": 2}]
    with ThreadPoolExecutor(3) as clients:
        ids = list(clients.map(predicting.accept, bodies))
    states = [predicting.final_status(task_id, 60)["status"] for task_id in ids]
    assert states == ["FAILURE", "SUCCESS", "SUCCESS"]


# Heads and slow clients


def send(deployment: Deployment, *parts: bytes) -> bytes:
    """Send raw bytes and return all that is answered."""
    with connect(deployment) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        return answer


def connect(deployment: Deployment) -> socket.socket:
    """Return a connection to the API."""
    port = int(deployment.environment["API_PORT"])
    return socket.create_connection(("127.0.0.1", port), timeout=30)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /info?" + b"x" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET /info HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 2000 + b"\r\n\r\n", b"431"),
        (b"GET /info HTTP/1.1\r\nHost: x\r\n" + b"X-Y: z\r\n" * 200 + b"\r\n", b"431"),
    ],
)
def test_a_long_head_is_refused(narrow: Deployment, head: bytes, status: bytes) -> None:
    assert send(narrow, head).split(b" ", 2)[1] == status


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /info?",
        b"GET /info HTTP/1.1\r\nX-Endless: ",
        b"GET /info HTTP/1.1\r\nX-Endless",
        b"POST /info HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Endless: ",
    ],
    ids=["target", "header", "header's name", "trailer"],
)
def test_a_line_without_an_end_is_not_collected(narrow: Deployment, begin: bytes) -> None:
    with connect(narrow) as connection:
        connection.sendall(begin)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 64 * MEGABYTE:
                sent += connection.send(b"x" * 65536)
        assert sent < 16 * MEGABYTE  # what lies in the system's buffers included


def test_many_trailers_are_refused(narrow: Deployment) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = send(narrow, head + b"1\r\n{\r\n0\r\n" + b"X-Y: z\r\n" * 2000 + b"\r\n")
    assert answer.split(b" ", 2)[1] == b"431"


def test_a_connection_in_use_is_kept(narrow: Deployment) -> None:
    with connect(narrow) as connection:
        began = time.monotonic()
        while time.monotonic() - began < 2.5 * CLIENT_TIMEOUT:
            connection.sendall(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def trickle(connection: socket.socket, data: Callable[[], bytes], seconds: float) -> float:
    """Send a byte now and then until the other side hangs up; return after how long it did."""
    began = time.monotonic()
    connection.settimeout(0.2)
    while time.monotonic() - began < seconds:
        try:
            connection.sendall(data())
            if connection.recv(4096) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


SLOW = {
    "head": b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "body": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
    "chunked body": b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("part", SLOW)
def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(narrow: Deployment, part: str) -> None:
    piece = {"chunked body": b"1\r\nx\r\n", "nothing": b""}.get(part, b"x")
    with connect(narrow) as connection:
        connection.sendall(SLOW[part])
        assert trickle(connection, lambda: piece, 10) < 2 * CLIENT_TIMEOUT + 1


def test_a_second_request_that_comes_slowly_is_cut_off_too(narrow: Deployment) -> None:
    with connect(narrow) as connection:
        connection.sendall(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(65536)
        connection.sendall(SLOW["head"])
        assert trickle(connection, lambda: b"x", 10) < 2 * CLIENT_TIMEOUT + 1


def test_slow_clients_keep_nobody_waiting(narrow: Deployment) -> None:
    connections = [connect(narrow) for _ in range(300)]
    try:
        for number, connection in enumerate(connections):
            connection.sendall(SLOW["body" if number % 2 else "head"])
        began = time.monotonic()
        for _ in range(20):
            assert requests.get(f"{narrow.url}/info", timeout=10).ok
        assert time.monotonic() - began < 2
    finally:
        for connection in connections:
            connection.close()


def test_a_client_that_takes_its_answer_slowly_is_cut_off(predicting: Deployment) -> None:
    body = b'{"value": "%b"}' % (b"x" * 14 * MEGABYTE)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nPrefer: wait=20\r\nContent-Length: %d\r\n\r\n"
    with connect(predicting) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head % len(body) + body)
        assert connection.recv(1) == b"H"
        began = time.monotonic()
        port = connection.getsockname()[1]
        api = int(predicting.environment["API_PORT"])
        predicting.wait(lambda: not is_served(api, port), "the connection is ended", 15)
        assert time.monotonic() - began < 3 * CLIENT_TIMEOUT + 1


def test_a_client_that_takes_its_answer_steadily_gets_all_of_it(predicting: Deployment) -> None:
    """At 200 KB/s, of which the server notices little: the kernel holds megabytes for it."""
    body = b'{"value": "%b"}' % (b"x" * 14 * MEGABYTE)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nPrefer: wait=20\r\n"
    with connect(predicting) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        received = len(connection.recv(1))
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < 4 * CLIENT_TIMEOUT:
            due = began + received / 200_000
            predicting.wait(lambda due=due: time.monotonic() > due, "its time")  # type: ignore[misc]
            received += len(connection.recv(20_000))
        while part := connection.recv(MEGABYTE):
            received += len(part)
    assert elapsed > 3 * CLIENT_TIMEOUT
    assert received > len(body)


def is_served(api: int, client_port: int) -> bool:
    """Tell whether the API's side of a connection is established."""
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        return any(
            f":{api:04X}" in fields[1] and f":{client_port:04X}" in fields[2] and fields[3] == "01"
            for fields in map(str.split, table)
        )


def test_a_large_body_that_comes_steadily_is_taken(predicting: Deployment) -> None:
    """At 40 KB/s it takes longer than CLIENT_TIMEOUT, which is no reason to end it."""
    body = b'{"value": "%b"}' % (b"x" * 160_000)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nPrefer: wait=20\r\n"
    with connect(predicting) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
        started = time.monotonic()
        for number, at in enumerate(range(0, len(body), 8000)):
            predicting.wait(lambda n=number: time.monotonic() > started + 0.2 * n, "its time")  # type: ignore[misc]
            connection.sendall(body[at : at + 8000])
        assert time.monotonic() - started > CLIENT_TIMEOUT
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
