"""Both clients, against a server that answers what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from denzel.client import (
    ApiUnreachable,
    AsyncClient,
    Client,
    PredictionError,
    PredictionPending,
    Task,
    UsageError,
)

Reply = tuple[int, dict[str, str], Any]
Serve = Callable[[list[Reply]], "Api"]
Ask = Callable[..., Any]

ACCEPTED: Reply = (200, {}, {"status": "success", "data": {"task_id": "t1"}})


class Api(ThreadingHTTPServer):
    """Answers the replies it was given, the last one for ever, and keeps what was asked."""

    def __init__(self, replies: list[Reply]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies = replies
        self.asked: list[tuple[str, str, str | None, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request to the Api."""

    server: Api

    def do_GET(self) -> None:
        """Answer as any other method."""
        self.do_POST()

    def do_POST(self) -> None:
        """Answer the next reply."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, self.headers.get("Prefer"), body))
        self.server.headers.append(dict(self.headers.items()))
        replies = self.server.replies
        status, headers, value = replies.pop(0) if len(replies) > 1 else replies[0]
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, content in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, content)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an Api that gives certain replies."""
    started: list[tuple[Api, threading.Thread]] = []

    def start(replies: list[Reply]) -> Api:
        api = Api(replies)
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((api, thread))
        return api

    yield start
    for api, thread in started:
        api.shutdown()
        thread.join()
        api.server_close()


def ask_sync(url: str, method: str, *arguments: Any, of: dict[str, Any], **options: Any) -> Any:
    """Call a method of a Client made with ``of``."""
    with Client(url, **of) as client:
        return getattr(client, method)(*arguments, **options)


def ask_async(url: str, method: str, *arguments: Any, of: dict[str, Any], **options: Any) -> Any:
    """Call a method of an AsyncClient made with ``of``, in an event loop of its own."""

    async def call() -> Any:
        async with AsyncClient(url, **of) as client:
            return await getattr(client, method)(*arguments, **options)

    return asyncio.run(call())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Call a method of one of the clients."""

    def call(*arguments: Any, of: dict[str, Any] | None = None, **options: Any) -> Any:
        return request.param(*arguments, of=of or {}, **options)

    return call


def test_a_prediction_is_waited_for_as_long_as_it_says(serve: Serve, ask: Ask) -> None:
    api = serve([(200, {}, {"a": "Iris-setosa"})])
    assert ask(api.url, "predict", {"data": 1}, timeout=6.5) == {"a": "Iris-setosa"}
    assert api.asked == [("POST", "/predict", "wait=7", b'{"data": 1}')]


def test_a_request_may_be_a_file(serve: Serve, ask: Ask) -> None:
    api = serve([(200, {}, {}), ACCEPTED])
    ask(api.url, "predict", b"\xff\xd8", content_type="image/jpeg")
    ask(api.url, "submit", b"a,b", content_type="text/csv")
    assert [headers["Content-Type"] for headers in api.headers] == ["image/jpeg", "text/csv"]
    assert [asked[-1] for asked in api.asked] == [b"\xff\xd8", b"a,b"]


def test_info_and_load_are_told_as_they_are(serve: Serve, ask: Ask) -> None:
    assert ask(serve([(200, {}, "größe".encode())]).url, "info") == "größe"
    api = serve([(200, {}, {"ready": True})])
    assert ask(api.url, "load") == {"ready": True}
    assert api.asked[0][1] == "/health/load"


def test_a_wait_that_the_api_does_not_take_is_refused(serve: Serve, ask: Ask) -> None:
    api = serve([(200, {}, {})])
    with pytest.raises(UsageError, match="600 s at most, not 601 s"):
        ask(api.url, "predict", {}, timeout=601)
    assert api.asked == []


def test_a_task_is_queued_and_asked_for(serve: Serve, ask: Ask) -> None:
    pending: Reply = (200, {}, {"status": "PENDING", "result": None, "started": "03:18"})
    api = serve([ACCEPTED, pending, (200, {}, {"status": "SUCCESS", "result": {"a": 1}})])
    assert ask(api.url, "submit", b"{}") == "t1"
    assert ask(api.url, "status", "t1") == Task("t1", "PENDING", None, "03:18")
    assert ask(api.url, "result", "t1", timeout=9) == {"a": 1}
    assert api.asked[0] == ("POST", "/predict", "respond-async", b"{}")
    assert [request[:2] for request in api.asked[1:]] == [
        ("GET", "/status/t1?wait=0"),
        ("GET", "/status/t1?wait=9"),
    ]


def test_a_result_that_is_not_there_in_time_is_pending(serve: Serve, ask: Ask) -> None:
    api = serve([(200, {}, {"status": "PENDING", "result": None})])
    with pytest.raises(PredictionPending, match=r"t1 is not made yet \(not begun yet\)") as raised:
        ask(api.url, "result", "t1", timeout=0)
    assert raised.value.task_id == "t1"
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("final", "said"),
    [
        ({"status": "FAILURE", "result": {"args": ["no 'np'"], "type": "NameError"}},
         "t1 ended in FAILURE: NameError: no 'np'"),
        ({"status": "FAILURE", "result": {"args": ["no 'np'"]}}, "FAILURE: no 'np'"),
        ({"status": "REVOKED", "result": None}, "ended in REVOKED"),
    ],
)  # fmt: skip
def test_a_result_says_how_its_prediction_failed(
    serve: Serve, ask: Ask, final: Any, said: str
) -> None:
    with pytest.raises(PredictionError, match=said):
        ask(serve([(200, {}, final)]).url, "result", "t1")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((400, {}, {"title": "Bad input format", "description": "no data"}),
         "400 Bad input format: no data"),
        ((500, {}, {"title": "Prediction failed", "description": "ValueError: x"}),
         "500 Prediction failed: ValueError: x"),
        ((503, {"Retry-After": "5"}, {"title": "Queue unavailable", "description": "no Redis"}),
         "503 Queue unavailable: no Redis; try again in 5 s"),
        ((504, {}, {"title": "Timed out", "description": "late", "task_id": "t9"}),
         "504 Timed out: late (task t9)"),
        ((502, {}, b"<html>proxy</html>"), "502 Bad Gateway: <html>proxy</html>"),
        ((302, {"Location": "/elsewhere"}, b""), "302 Found: "),
    ],
)  # fmt: skip
def test_a_refusal_is_shown_as_title_and_description(
    serve: Serve, ask: Ask, reply: Reply, said: str
) -> None:
    with pytest.raises(PredictionError) as raised:
        ask(serve([reply]).url, "predict", {}, of={"retries": 0})
    assert str(raised.value) == said
    assert raised.value.status == reply[0]
    assert isinstance(raised.value, PredictionPending) == (reply[0] == 504)


def test_what_was_not_taken_is_sent_again_under_the_same_key(serve: Serve, ask: Ask) -> None:
    full = (503, {"Retry-After": "0"}, {"title": "Queue full"})
    api = serve([full, (502, {}, b""), (200, {}, {"a": 1})])
    assert ask(api.url, "predict", {}) == {"a": 1}
    keys = {headers["Idempotency-Key"] for headers in api.headers}
    assert (len(api.headers), len(keys)) == (3, 1)


def test_a_key_of_ones_own_and_none_at_all(serve: Serve, ask: Ask) -> None:
    api = serve([(200, {}, {})])
    ask(api.url, "predict", {}, idempotency_key="order-4711")
    ask(api.url, "predict", {}, of={"retries": 0})
    assert [headers.get("Idempotency-Key") for headers in api.headers] == ["order-4711", None]


def test_nothing_is_sent_again_after_the_time_is_over(serve: Serve, ask: Ask) -> None:
    api = serve([(503, {"Retry-After": "30"}, {"title": "Queue full"})])
    with pytest.raises(PredictionError, match="503 Queue full"):
        ask(api.url, "predict", {}, timeout=5)
    assert len(api.asked) == 1


def test_an_api_that_is_down_is_named(ask: Ask, unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    with pytest.raises(ApiUnreachable, match=f"{url} cannot be reached"):
        ask(url, "predict", {}, of={"retries": 1})


def test_a_proxy_of_the_environment_is_used_unless_it_may_not_be(
    serve: Serve, ask: Ask, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    api = serve([(200, {}, {"a": 1})])
    assert ask(api.url, "predict", {}, of={"trust_env": False}) == {"a": 1}
    with pytest.raises(ApiUnreachable):
        ask(api.url, "predict", {}, of={"retries": 0})


def test_an_api_key_goes_with_every_request(serve: Serve, ask: Ask) -> None:
    api = serve([(200, {}, {})])
    ask(api.url, "predict", {}, of={"api_key": "secret"})
    ask(api.url, "predict", {})
    assert [headers.get("X-API-Key") for headers in api.headers] == ["secret", None]


@pytest.mark.parametrize("task_id", ["", "../info", "a b", "a?wait=1"])
def test_what_is_no_id_is_not_asked_for(ask: Ask, unused_port: int, task_id: str) -> None:
    with pytest.raises(UsageError, match="is no task's id"):
        ask(f"http://127.0.0.1:{unused_port}", "status", task_id)


@pytest.mark.parametrize("sent", [{"a": float("nan")}, {"a": object()}])
def test_what_is_no_json_is_refused_before_it_is_sent(
    ask: Ask, unused_port: int, sent: Any
) -> None:
    with pytest.raises(UsageError, match="not JSON-serializable"):
        ask(f"http://127.0.0.1:{unused_port}", "predict", sent)
