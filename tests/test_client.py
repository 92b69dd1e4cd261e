"""The HTTP client, against a real server that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from denzel.client import Client, api_url, monitor_url, parse_body
from denzel.errors import PredictionError, ServiceError, UsageError
from denzel.templates.project.app.runtime.settings import parse_settings

Reply = tuple[int, dict[str, str], Any]
Serve = Callable[[list[Reply]], "Api"]

ACCEPTED: Reply = (200, {}, {"status": "success", "data": {"task_id": "t1"}})


class Api(ThreadingHTTPServer):
    """Answers the replies it was given, the last one for ever, and keeps what was asked."""

    def __init__(self, replies: list[Reply]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies = replies
        self.asked: list[tuple[str, str, str | None, bytes]] = []
        self.keys: list[str | None] = []
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
        self.server.keys.append(self.headers.get("X-API-Key"))
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


def ignore(_task: str, _state: str) -> None:
    """Take the progress of a prediction that nobody looks at."""


def test_a_synchronous_answer_is_predicts_dict(serve: Serve) -> None:
    api = serve([(200, {}, {"a": "Iris-setosa"})])
    answer = Client(api.url, timeout=5).predict(b'{"data": 1}')
    assert (answer.value, answer.task_id) == ({"a": "Iris-setosa"}, None)
    assert api.asked == [("POST", "/predict", None, b'{"data": 1}')]


def test_an_asynchronous_answer_names_its_task(serve: Serve) -> None:
    assert Client(serve([ACCEPTED]).url, timeout=5).predict(b"{}").task_id == "t1"


def test_async_asks_until_the_prediction_is_made(serve: Serve) -> None:
    api = serve(
        [
            ACCEPTED,
            (200, {}, {"status": "PENDING", "result": None}),
            (200, {}, {"status": "STARTED", "result": None}),
            (200, {}, {"status": "STARTED", "result": None}),
            (200, {}, {"status": "SUCCESS", "result": {"a": 1}}),
        ]
    )
    seen: list[tuple[str, str]] = []
    answer = Client(api.url, timeout=5).predict_async(b"{}", lambda *news: seen.append(news))
    assert (answer.value, answer.task_id) == ({"a": 1}, "t1")
    assert seen == [("t1", "PENDING"), ("t1", "STARTED")]
    assert api.asked[0] == ("POST", "/predict", "respond-async", b"{}")
    assert {request[:2] for request in api.asked[1:]} == {("GET", "/status/t1")}


def test_async_takes_an_answer_that_came_at_once(serve: Serve) -> None:
    api = serve([(200, {}, {"status": "success", "data": {"task_id": "t1"}, "more": 1})])
    answer = Client(api.url, timeout=5).predict_async(b"{}", ignore)
    assert answer.value["more"] == 1
    assert len(api.asked) == 1


def test_async_gives_up_at_its_deadline(serve: Serve) -> None:
    api = serve([ACCEPTED, (200, {}, {"status": "STARTED", "result": None})])
    with pytest.raises(PredictionError, match=r"t1 is still STARTED after 0\.2 s.*/status/t1"):
        Client(api.url, timeout=0.2).predict_async(b"{}", ignore)


@pytest.mark.parametrize(
    ("final", "said"),
    [
        ({"status": "FAILURE", "result": {"args": ["no 'np'"], "type": "NameError"}}, "NameError"),
        ({"status": "FAILURE", "result": {"args": ["no 'np'"]}}, "FAILURE: no 'np'"),
        ({"status": "REVOKED", "result": None}, "ended in REVOKED"),
    ],
)
def test_async_says_how_a_prediction_failed(serve: Serve, final: Any, said: str) -> None:
    with pytest.raises(PredictionError, match=said):
        Client(serve([ACCEPTED, (200, {}, final)]).url, timeout=5).predict_async(b"{}", ignore)


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
    ],
)  # fmt: skip
def test_a_refusal_is_shown_as_title_and_description(serve: Serve, reply: Reply, said: str) -> None:
    with pytest.raises(PredictionError) as raised:
        Client(serve([reply]).url, timeout=5).predict(b"{}")
    assert str(raised.value) == said


def test_an_api_that_is_down_is_named(unused_port: int) -> None:
    with pytest.raises(ServiceError, match=f":{unused_port} cannot be reached; `denzel status`"):
        Client(f"http://127.0.0.1:{unused_port}", timeout=5).predict(b"{}")


def test_a_proxy_of_the_environment_is_not_used(
    serve: Serve, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port}")
    assert Client(serve([(200, {}, {"a": 1})]).url, timeout=5).predict(b"{}").value == {"a": 1}


def test_what_is_nested_too_deep_is_for_the_api_to_refuse() -> None:
    text = b"[" * 100_000 + b"]" * 100_000
    assert parse_body(text, "request.json") == text


@pytest.mark.parametrize("text", [b"", b"{", b"\xff"])
def test_what_is_no_json_is_refused_before_it_is_sent(text: bytes) -> None:
    with pytest.raises(UsageError, match=r"request\.json does not hold JSON"):
        parse_body(text, "request.json")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("fd00::7", "http://[fd00::7]:8000"),
        ("10.0.0.7", "http://10.0.0.7:8000"),
    ],
)
def test_the_api_is_asked_where_it_listens(host: str, url: str) -> None:
    assert api_url(parse_settings({"API_HOST": host})) == url


def test_the_monitor_has_its_own_port() -> None:
    assert monitor_url(parse_settings({"MONITOR_PORT": "5556"})) == "http://127.0.0.1:5556"


def test_a_key_goes_with_every_request(serve: Serve) -> None:
    api = serve([ACCEPTED, (200, {}, {"status": "SUCCESS", "result": {}})])
    Client(api.url, timeout=5, key="secret").predict_async(b"{}", lambda *_: None)
    assert api.keys == ["secret", "secret"]
    Client(api.url, timeout=5).predict(b"{}")
    assert api.keys[2:] == [None]


def test_without_its_key_it_is_said_where_to_give_it(serve: Serve) -> None:
    api = serve([(401, {}, {"title": "Unauthorized", "description": "Send a key"})])
    with pytest.raises(PredictionError, match=r"401 Unauthorized: Send a key.*DENZEL_API_KEY"):
        Client(api.url, timeout=5).predict(b"{}")
