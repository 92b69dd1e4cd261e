"""Traces: one from a request to its callback, exported to a real collector's endpoint."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.runtime.tracing import PACKAGES, start_tracing

from .deployment import Deployment, deployed
from .polling import wait_until
from .receiver import Receiver

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENTS_SPAN = "00f067aa0ba902b7"
PIPELINE = """
from opentelemetry import trace

def verify_input(json_data):
    return json_data

def load_model():
    return None

def process(model, json_data):
    return json_data

def predict(model, data):
    with trace.get_tracer("mine").start_as_current_span("look up features"):
        return {"result": 1 / data["divisor"]}
"""


class Collector:
    """An OTLP/HTTP endpoint that keeps spans: service, name, span's fields."""

    def __init__(self) -> None:
        self.spans: list[dict[str, object]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: bytes) -> None:
        """Note the spans of an export."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {each.key: each.value for each in span.attributes}
                    self.spans.append({
                        "service": names["service.name"], "project": names["service.namespace"],
                        "name": span.name, "trace": span.trace_id.hex(), "id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(), "is_error": span.status.code == 2,
                        "task": attributes["denzel.task_id"].string_value
                        if "denzel.task_id" in attributes else "",
                    })  # fmt: skip

    def find(self, service: str, name: str, trace: str = TRACE_ID) -> dict[str, object]:
        """Wait for a span and return it."""

        def found() -> list[dict[str, object]]:
            return [
                each for each in self.spans
                if (each["service"], each["name"], each["trace"]) == (service, name, trace)
            ]  # fmt: skip

        return wait_until(found, 20, what=f"{service}: {name}", evidence=lambda: str(self.spans))[0]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Yield a collector."""
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Deployment]:
    """Yield a running deployment whose traces are collected."""
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with deployed(tmp_path_factory.mktemp("traced"), PIPELINE, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker()
        deployment.start_callbacks()
        deployment.start_api()
        yield deployment


def test_one_trace_leads_from_the_client_to_its_callback(
    traced: Deployment, collector: Collector, receiver: Receiver
) -> None:
    uri = f"{receiver.url}/traced"
    answer = traced.predict(
        {"callback_uri": uri, "divisor": 2}, Prefer="respond-async",
        traceparent=f"00-{TRACE_ID}-{CLIENTS_SPAN}-01",
    )  # fmt: skip
    task_id = answer.json()["data"]["task_id"]
    request = collector.find("api", "POST /predict")
    prediction = collector.find("denzel", "predict")
    users = collector.find("denzel", "look up features")
    callback = collector.find("callbacks", "POST callback")
    assert request["parent"] == CLIENTS_SPAN
    assert prediction["parent"] == request["id"]
    assert users["parent"] == prediction["id"]
    assert callback["parent"] == request["id"]
    assert {each["task"] for each in (request, prediction, callback)} == {task_id}
    assert {each["project"] for each in collector.spans} == {"lab"}
    (got,) = receiver.requests_to("/traced")
    assert got.headers["traceparent"] == f"00-{TRACE_ID}-{callback['id']}-01"


def test_a_failed_prediction_is_an_error_in_its_clients_trace(
    traced: Deployment, collector: Collector
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = traced.predict({"divisor": 0}, traceparent=f"00-{trace}-{CLIENTS_SPAN}-01")
    assert answer.status_code == 500
    assert collector.find("denzel", "predict", trace)["is_error"]


def test_spans_of_the_api_are_named_by_what_is_asked_for(
    traced: Deployment, collector: Collector
) -> None:
    trace = "1af7651916cd43dd8448eb211c80319c"
    path = f"{traced.url}/status/{uuid4()}"
    headers = {"traceparent": f"00-{trace}-{CLIENTS_SPAN}-01"}
    assert requests.get(path, headers=headers, timeout=10).status_code == 404
    collector.find("api", "GET /status/{task_id}", trace)


def test_what_its_client_does_not_sample_makes_no_spans(
    traced: Deployment, collector: Collector
) -> None:
    trace = "b7ad6b7169203331b7ad6b7169203331"
    later = "c7ad6b7169203331b7ad6b7169203331"
    assert traced.predict({"divisor": 1}, traceparent=f"00-{trace}-{CLIENTS_SPAN}-00").ok
    assert traced.predict({"divisor": 1}, traceparent=f"00-{later}-{CLIENTS_SPAN}-01").ok
    collector.find("denzel", "predict", later)
    assert not [each for each in collector.spans if each["trace"] == trace]


def test_missing_packages_are_said_and_nothing_else_changes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.asgi", None)
    assert start_tracing("lab", "api") is None
    assert all(package in caplog.text for package in PACKAGES)


def test_a_setting_of_opentelemetrys_that_cannot_be_used_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-4")
    assert start_tracing("lab", "api") is None
    assert "max_queue_size must be a positive integer" in caplog.text


@pytest.mark.parametrize(
    "settings",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}],
)
def test_without_a_collector_there_are_no_spans(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert start_tracing("lab", "api") is None
