"""The figures in Prometheus's text format, by its own client library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from app.runtime import state
from app.runtime.metrics.reading import ServiceFigures
from app.runtime.metrics.table import ASYNC, COUNTED, PREFIX, SYNC, Counted
from app.runtime.metrics.tally import SUM, TOTAL, Key
from app.runtime.store.model_states import ModelState

__all__ = ["CONTENT_TYPE_LATEST", "render"]

LOAD = (
    ("queue_length", "Requests that are queued.", "queued"),
    ("queue_oldest_seconds", "How long the request at the head of a queue has waited.", "oldest"),
    ("requests_held", "Requests that workers have taken and not ended yet.", "held"),
)


def render(metrics: Iterable[Metric]) -> bytes:
    """Return metrics as text, in the format that CONTENT_TYPE_LATEST names."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Found(list(metrics)))
    return generate_latest(registry)


class _Found(Collector):
    """Shows the registry what was found."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Return it."""
        return self._metrics


def counted_metrics(sums: Mapping[Key, float]) -> list[Metric]:
    """Return the counters and histograms of the table; those without a value, too."""
    by_labels: dict[str, dict[tuple[str, ...], dict[str, float]]] = {}
    for (name, labels, part), value in sorted(sums.items()):
        by_labels.setdefault(name, {}).setdefault(labels, {})[part] = value
    return [_family(metric, by_labels.get(metric.name, {})) for metric in COUNTED]


def _family(metric: Counted, rows: Mapping[tuple[str, ...], Mapping[str, float]]) -> Metric:
    name = PREFIX + metric.name
    if not metric.buckets:
        counter = CounterMetricFamily(name, metric.meaning, labels=metric.labels)
        for labels, parts in rows.items():
            counter.add_metric(labels, parts.get(TOTAL, 0.0))
        return counter
    histogram = HistogramMetricFamily(name, metric.meaning, labels=metric.labels)
    bounds = [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]
    for labels, parts in rows.items():
        counts = accumulate(parts.get(str(number), 0.0) for number in range(len(bounds)))
        buckets = list(zip(bounds, counts, strict=True))
        histogram.add_metric(labels, buckets, sum_value=parts.get(SUM, 0.0))
    return histogram


def load_metrics(load: Mapping[str, float]) -> list[Metric]:
    """Return what there is to do as gauges."""
    found: list[Metric] = []
    for name, meaning, key in LOAD:
        gauge = GaugeMetricFamily(PREFIX + name, meaning, labels=["kind"])
        for kind in (SYNC, ASYNC):
            gauge.add_metric([kind], load[f"{kind}_{key}"])
        found.append(gauge)
    callbacks = GaugeMetricFamily(
        PREFIX + "callbacks",
        "Callbacks that are not delivered: pending, of these crowded (their receiver has enough "
        "under way), or failed.",
        labels=["state"],
    )
    for name in ("pending", "crowded", "failed"):
        callbacks.add_metric([name], load[f"callbacks_{name}"])
    return [*found, callbacks]


def process_metrics(services: Iterable[ServiceFigures]) -> list[Metric]:
    """Return processes and memory of the services as gauges."""
    labels = ["service", "host"]
    processes = GaugeMetricFamily(PREFIX + "processes", "Processes of a service.", labels=labels)
    memory = GaugeMetricFamily(
        PREFIX + "memory_bytes",
        "Memory of a service's processes; what they share counts once.",
        labels=labels,
    )
    for each in services:
        processes.add_metric([each.service, each.host], each.processes)
        memory.add_metric([each.service, each.host], each.memory)
    return [processes, memory]


def worker_metrics(models: Iterable[ModelState]) -> list[Metric]:
    """Return whether each worker has its model, as a gauge."""
    up = GaugeMetricFamily(
        PREFIX + "worker_up", "1: the worker has its model.", labels=["worker", "host"]
    )
    found: dict[tuple[str, str], bool] = {}
    for each in models:  # while one is replaced, or loads, another may have its name
        key = (each.worker, each.host)
        found[key] = found.get(key, False) or each.state == state.UP
    for labels, is_up in found.items():
        up.add_metric(labels, float(is_up))
    return [up]


def redis_metrics(memory: tuple[float, float] | None) -> list[Metric]:
    """Return whether Redis answers, and how many bytes it uses and may use; None: no answer."""
    up = GaugeMetricFamily(PREFIX + "redis_up", "1: Redis answers.", value=float(bool(memory)))
    if memory is None:
        return [up]
    used, limit = memory
    return [
        up,
        GaugeMetricFamily(PREFIX + "redis_memory_bytes", "Memory Redis uses.", value=used),
        GaugeMetricFamily(
            PREFIX + "redis_memory_limit_bytes", "Memory Redis may use; 0: any.", value=limit
        ),
    ]
