"""Traces for OpenTelemetry: one from a request to its callback.

They are made where the settings say who collects them (``OTEL_EXPORTER_OTLP_ENDPOINT``) and
OpenTelemetry's packages are installed, which the project asks for in its requirements.txt: they are
large, and many models' packages need another version of their protobuf.  Variables that begin with
``OTEL_`` mean what OpenTelemetry's specification of them says.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PACKAGES = (
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-instrumentation-asgi",
)
EXPORT_MILLISECONDS = 1000
"""How often spans are exported, unless OTEL_BSP_SCHEDULE_DELAY says: what is not is lost when a
process of the worker is ended."""
NOT_TRACED = "health,metrics"
"""Paths that are asked for every few seconds, unless OTEL_PYTHON_EXCLUDED_URLS says."""

_TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

log = logging.getLogger("denzel.tracing")


def is_wanted() -> bool:
    """Tell whether the settings say who collects traces."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and any(os.environ.get(name) for name in ENDPOINTS)


def start_tracing(project: str, service: str) -> Tracing | None:
    """Return what makes a service's spans; None where none are wanted, or the packages are missing.

    It starts a thread, so not to be called before a fork.
    """
    if not is_wanted():
        return None
    try:
        return Tracing(_provider(project, service))
    except ImportError as error:
        log.error(
            "There are no traces: %s. Add to requirements.txt %s, and run `denzel updatepipreqs`",
            error, ", ".join(PACKAGES),
        )  # fmt: skip
    except ValueError as error:
        log.error("There are no traces: %s Correct the settings that begin with OTEL_", error)
    return None


def _provider(project: str, service: str) -> TracerProvider:
    import opentelemetry.instrumentation.asgi  # noqa: F401 - whether all packages are there
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = Resource.create({"service.name": service, "service.namespace": project})
    provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()))
    is_set = "OTEL_BSP_SCHEDULE_DELAY" in os.environ
    provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(), schedule_delay_millis=None if is_set else EXPORT_MILLISECONDS
        )
    )
    return provider


class Tracing:
    """Makes one service's spans; contexts travel as W3C ``traceparent`` texts."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace

        trace.set_tracer_provider(provider)  # for what the pipeline traces by itself
        self._provider = provider
        self._tracer = provider.get_tracer("denzel")

    def traced(self, application: Any) -> Any:
        """Return an ASGI application whose requests have spans, under those of their clients."""
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        return OpenTelemetryMiddleware(
            application,
            excluded_urls=os.environ.get("OTEL_PYTHON_EXCLUDED_URLS", NOT_TRACED),
            tracer_provider=self._provider,
            exclude_spans=["receive", "send"],
            default_span_details=_name_request,
        )

    def traceparent(self, **attributes: str) -> str:
        """Return the current span's context, '' where nothing is recorded; set its attributes."""
        from opentelemetry import trace

        span = trace.get_current_span()
        if not span.is_recording():
            return ""
        span.set_attributes({f"denzel.{name}": value for name, value in attributes.items()})
        return traceparent_of(span)

    def start(
        self, name: str, kind: str, traceparent: str, attributes: Mapping[str, str | int]
    ) -> Span:
        """Return a new span under that of ``traceparent``.

        ``kind`` is OpenTelemetry's: CONSUMER, CLIENT.
        """
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        return self._tracer.start_span(name, context, SpanKind[kind], dict(attributes))

    def end(self, span: Span, attributes: Mapping[str, str | int], error: str = "") -> None:
        """End a span; ``error`` is '' for what went well."""
        from opentelemetry.trace import StatusCode

        span.set_attributes(dict(attributes))
        if error:
            span.set_status(StatusCode.ERROR, error)
        span.end()

    @contextmanager
    def current(self, span: Span) -> Iterator[None]:
        """Have what is traced inside stand under ``span``."""
        from opentelemetry import trace

        with trace.use_span(span, end_on_exit=False):
            yield


def _name_request(scope: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the name of a request's span and its attributes; ids would make it another each."""
    path = _TASK_ID.sub("{task_id}", str(scope.get("path", "")))
    return f"{scope.get('method', '')} {path}".strip(), {"http.route": path}


def traceparent_of(span: Span) -> str:
    """Return a span's context (www.w3.org/TR/trace-context)."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
