"""The table of metrics that are counted: the one source of names, labels, buckets and meanings.

Names follow Prometheus's conventions (prometheus.io/docs/practices/naming).
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "denzel_"
SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


@dataclass(frozen=True)
class Counted:
    """A counter, or with ``buckets`` (upper bounds, ascending) a histogram; names lack PREFIX."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


HTTP_REQUESTS = Counted(
    "http_requests_total", "Requests the API has answered.", ("method", "route", "status")
)
HTTP_SECONDS = Counted(
    "http_request_duration_seconds", "From a request's head to its answer.", ("route",), SECONDS
)
QUEUE_SECONDS = Counted(
    "queue_duration_seconds",
    "How long requests were queued until a worker took them, by Redis's clock.",
    ("kind",), SECONDS,
)  # fmt: skip
PREDICTIONS = Counted(
    "predictions_total",
    "Requests that a worker has taken, by what became of them: SUCCESS, FAILURE, or LOST with the "
    "process that had them, and then tried again or failed.",
    ("kind", "outcome"),
)
PREDICTION_SECONDS = Counted(
    "prediction_duration_seconds", "process and predict, for a batch.", ("kind",), SECONDS
)
BATCH_SIZE = Counted("batch_size", "Requests a process was given together.", ("kind",), SIZES)
CALLBACKS = Counted(
    "callback_attempts_total",
    "Attempts to deliver a callback, by what came of them (delivered, retried, given_up) and the "
    "receiver's address (loopback, private, public, unknown).",
    ("outcome", "receiver"),
)
CALLBACK_SECONDS = Counted(
    "callback_duration_seconds", "From an attempt's beginning to its outcome.",
    ("receiver",), SECONDS,
)  # fmt: skip

COUNTED = (
    HTTP_REQUESTS, HTTP_SECONDS, QUEUE_SECONDS, PREDICTIONS, PREDICTION_SECONDS, BATCH_SIZE,
    CALLBACKS, CALLBACK_SECONDS,
)  # fmt: skip
SYNC, ASYNC = "sync", "async"
"""Values of the label ``kind``: does the client wait?"""
