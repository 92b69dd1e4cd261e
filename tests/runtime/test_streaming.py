"""Predictions in pieces: server-sent events of a running deployment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import requests

from denzel.client import AsyncClient, Client, PredictionError

from .deployment import ANSWER_SECONDS, Deployment, deployed
from .receiver import Receiver
from .template import PIPELINES

ACCEPT = {"Accept": "text/event-stream"}
TIMEOUT_SECONDS = 8
"""The deployment's PREDICTION_TIMEOUT."""

PLACES = 5
"""The deployment's MAX_WAITING."""

Event = tuple[str, Any]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a running deployment that answers in pieces."""
    pipeline = (PIPELINES / "tokens.py").read_text(encoding="utf-8")
    settings = {
        "PREDICTION_TIMEOUT": str(TIMEOUT_SECONDS),
        "WORKER_CONCURRENCY": "2",
        "MAX_WAITING": str(PLACES),
    }
    with deployed(tmp_path_factory.mktemp("tokens"), pipeline, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.start_callbacks()
        deployment.wait_for_worker()
        yield deployment


def opened(deployment: Deployment, request: dict[str, Any], **headers: str) -> requests.Response:
    """Begin to stream an answer."""
    return requests.post(
        f"{deployment.url}/predict", json=request, headers={**ACCEPT, **headers}, stream=True,
        timeout=ANSWER_SECONDS,
    )  # fmt: skip


def events(answer: requests.Response) -> Iterator[Event]:
    """Yield events as they come; comments are ``(":", None)``."""
    kind = "message"
    for line in answer.iter_lines():
        if line.startswith(b":"):
            yield ":", None
        elif line.startswith(b"event: "):
            kind = line.removeprefix(b"event: ").decode()
        elif line.startswith(b"data: "):
            yield kind, json.loads(line.removeprefix(b"data: "))
        elif not line:
            kind = "message"


def numbers(found: list[Event]) -> list[int]:
    return [data["n"] for kind, data in found if kind == "message"]


def ending(deployment: Deployment, name: str) -> str:
    """Return how the generator of a request ended, once it has."""

    def find() -> str:
        return "".join(note["ended"] for note in deployment.trace("stream") if note["name"] == name)

    return deployment.wait(find, f"the generator {name} ends", 30)


def test_pieces_come_as_they_are_made_and_then_the_whole(tokens: Deployment) -> None:
    started = time.monotonic()
    answer = opened(tokens, {"count": 3, "pause": 1})
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    stream = events(answer)
    assert next(stream) == ("message", {"n": 0, "text": ""})
    assert time.monotonic() - started < 2.9  # before the last is made
    assert list(stream) == [
        ("message", {"n": 1, "text": ""}),
        ("message", {"n": 2, "text": ""}),
        ("result", {"chunks": [{"n": n, "text": ""} for n in range(3)]}),
    ]
    tokens.wait(lambda: tokens.status(answer.headers["Denzel-Task-Id"])["status"] == "SUCCESS",
                "it can be asked for", 10)  # fmt: skip


def test_many_pieces_come_in_their_order(tokens: Deployment) -> None:
    found = list(events(opened(tokens, {"count": 3000, "size": 100, "returns": {"tokens": 3000}})))
    assert numbers(found) == list(range(3000))
    assert found[-1] == ("result", {"tokens": 3000})


def test_a_large_piece_is_sent_and_one_that_is_too_large_is_told(tokens: Deployment) -> None:
    size = 6 * 2**20
    sent = opened(tokens, {"count": 2, "pause": 1, "size": size, "returns": {}}).content
    assert sent.count(b'data: {"n":') == 2
    assert len(sent) > 2 * size
    assert sent.endswith(b"event: result\ndata: {}\n\n")
    answer = opened(tokens, {"count": 1, "size": 9 * 2**20})
    assert (answer.status_code, answer.json()["title"]) == (500, "Prediction failed")
    assert "may be a piece" in answer.json()["description"]


def test_an_answer_without_pieces_is_its_result(tokens: Deployment) -> None:
    assert list(events(opened(tokens, {"count": 0}))) == [("result", {"chunks": []})]


@pytest.mark.parametrize(
    ("returns", "whole"),
    [(None, {"chunks": [{"n": 0, "text": ""}, {"n": 1, "text": ""}]}), ({"a": 1}, {"a": 1})],
)
def test_other_clients_get_the_whole(
    tokens: Deployment, receiver: Receiver, returns: Any, whole: Any
) -> None:
    request = {"count": 2, "returns": returns}
    assert tokens.predict(request).json() == whole
    assert tokens.predict(request, **{"Idempotency-Key": f"w{returns}", **ACCEPT}).json() == whole
    path = f"/200/whole/{bool(returns)}"
    accepted = opened(
        tokens, {**request, "callback_uri": receiver.url + path}, Prefer="respond-async"
    )
    assert tokens.final_status(accepted.json()["data"]["task_id"])["result"] == whole
    tokens.wait(lambda: receiver.requests_to(path), "the callback")
    assert json.loads(receiver.requests_to(path)[0].body) == whole


def test_a_client_of_http_1_0_gets_no_chunks(tokens: Deployment) -> None:
    """It knows none (RFC 9112, section 6.1): the answer ends with the connection."""
    body = b'{"count":2}'
    head = b"POST /predict HTTP/1.0\r\nAccept: text/event-stream\r\nContent-Length: %d\r\n\r\n"
    address = ("127.0.0.1", int(tokens.environment["API_PORT"]))
    with socket.create_connection(address, timeout=ANSWER_SECONDS) as connection:
        connection.sendall(head % len(body) + body)
        with connection.makefile("rb") as answer:
            shown, _, sent = answer.read().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in shown.lower()
    assert sent.startswith(b'data: {"n":0,"text":""}\n\ndata: {"n":1')
    assert sent.endswith(b"}\n\n")


def test_an_error_in_the_midst_is_an_event(tokens: Deployment) -> None:
    answer = opened(tokens, {"count": 5, "raises": 2, "name": "raising"})
    assert answer.status_code == 200
    found = list(events(answer))
    assert numbers(found) == [0, 1]
    title = "Prediction failed"
    assert found[-1] == ("error", {"title": title, "description": "ValueError: no more words"})
    assert ending(tokens, "raising") == "raised"


def test_an_error_before_the_first_piece_is_answered_as_ever(tokens: Deployment) -> None:
    answer = opened(tokens, {"count": 5, "raises": 0})
    assert (answer.status_code, answer.json()["title"]) == (500, "Prediction failed")
    assert answer.headers["Content-Type"] == "application/json"
    late = opened(tokens, {"count": 3, "pause": 1.5}, Prefer="wait=1")
    assert (late.status_code, late.json()["title"]) == (504, "Prediction timed out")
    assert tokens.final_status(late.json()["task_id"])["status"] == "SUCCESS"


def test_the_generator_of_a_client_that_has_gone_is_closed(tokens: Deployment) -> None:
    answer = opened(tokens, {"count": 70, "pause": 0.1, "name": "left"})
    next(events(answer))
    answer.close()
    assert ending(tokens, "left") == "closed"


def test_clients_that_leave_while_they_are_sent_to_free_their_places(tokens: Deployment) -> None:
    for number in range(PLACES):
        name = f"unread {number}"
        answer = opened(tokens, {"count": 70, "pause": 0.05, "size": 10**6, "name": name})
        next(events(answer))  # and no more: what follows is more than the kernel holds
        ending(tokens, name)
        answer.close()
    tokens.wait(lambda: opened(tokens, {"count": 0}).ok, "there is a place", 20)


def test_that_a_client_has_gone_is_told_again_when_redis_has_lost_it(tokens: Deployment) -> None:
    with redis.Redis.from_url(tokens.environment["REDIS_URL"]) as client:
        answer = opened(tokens, {"count": 70, "pause": 0.5, "name": "lost"})
        next(events(answer))
        task_id = answer.headers["Denzel-Task-Id"]
        answer.close()
        tokens.wait(lambda: client.zrem("denzel:abandoned", task_id), "it is noted", 20)
    assert ending(tokens, "lost") == "closed"


def test_denzels_own_clients_take_pieces_and_leave(tokens: Deployment) -> None:
    async def ask() -> None:
        async with AsyncClient(tokens.url) as client:
            async with client.stream({"count": 3, "returns": {"a": 1}}) as pieces:
                assert [piece["n"] async for piece in pieces] == [0, 1, 2]
            assert pieces.result == {"a": 1}
            async with client.stream({"count": 70, "pause": 0.1, "name": "async"}) as pieces:
                assert (await anext(aiter(pieces)))["n"] == 0

    asyncio.run(ask())
    assert ending(tokens, "async") == "closed"
    with Client(tokens.url) as client:
        with client.stream({"count": 3, "returns": {"a": 1}}) as pieces:
            assert [piece["n"] for piece in pieces] == [0, 1, 2]
        assert pieces.result == {"a": 1}
        with client.stream({"count": 70, "pause": 0.1, "name": "sync"}) as pieces:
            assert next(iter(pieces))["n"] == 0
        assert ending(tokens, "sync") == "closed"
        with (
            pytest.raises(PredictionError, match="Prediction failed: ValueError: no more words"),
            client.stream({"count": 5, "raises": 2}) as pieces,
        ):
            list(pieces)
        with pytest.raises(PredictionError, match="500 Prediction failed: ValueError"):
            list(client.stream({"count": 5, "raises": 0}))


def test_a_client_that_reads_slowly_is_given_up(tokens: Deployment) -> None:
    """Its answer is larger than what the kernel and the API hold for it together."""
    with socket.create_connection(("127.0.0.1", int(tokens.environment["API_PORT"]))) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps({"count": 2000, "size": 50_000, "name": "slow"}).encode()
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert ending(tokens, "slow") == "closed"


def test_a_process_that_dies_ends_the_stream(tokens: Deployment) -> None:
    found = list(events(opened(tokens, {"count": 5, "dies": 2})))
    assert numbers(found) == [0, 1]
    assert found[-1][0] == "error"
    assert "the worker process died during the prediction" in found[-1][1]["description"]


def test_a_stream_has_the_time_of_a_prediction(tokens: Deployment) -> None:
    found = list(events(opened(tokens, {"count": 5, "hangs": 1, "name": "long"})))
    assert numbers(found) == [0]
    assert f"took longer than {TIMEOUT_SECONDS} s" in found[-1][1]["description"]
    assert ending(tokens, "long") == "raised"


def test_nothing_of_a_stream_is_written_to_redis_file(tokens: Deployment) -> None:
    list(events(opened(tokens, {"count": 50, "size": 100})))
    written = b"".join(path.read_bytes() for path in tokens.redis_socket.parent.rglob("*.aof"))
    assert written
    assert b"PIECE" not in written


def test_a_worker_that_dies_ends_the_stream(tokens: Deployment) -> None:
    answer = opened(tokens, {"count": 70, "pause": 0.1})
    stream = events(answer)
    next(stream)
    os.killpg(tokens.services["denzel"].pid, signal.SIGKILL)
    tokens.services["denzel"].kill()
    tokens.start_worker()
    found = list(stream)
    assert found[-1][0] == "error"
    assert found[-1][1]["title"] == "Worker lost"
    assert list(events(opened(tokens, {"count": 1})))[-1][0] == "result"


def test_redis_that_is_killed_ends_the_stream(tokens: Deployment) -> None:
    stream = events(opened(tokens, {"count": 70, "pause": 0.1}))
    next(stream)
    tokens.services["redis"].kill()
    tokens.start_redis()
    found = list(stream)
    assert found[-1][0] == "error"
    tokens.wait(lambda: tokens.predict({"count": 1}).status_code == 200, "it serves again")
