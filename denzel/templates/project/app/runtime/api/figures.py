"""``GET /metrics`` for Prometheus, and ``GET /health/load`` for pages and scripts."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import falcon
import falcon.asgi
from redis.exceptions import RedisError

from app.runtime import state
from app.runtime.api.access import read_key
from app.runtime.api.errors import Unauthorized
from app.runtime.api.models import Models
from app.runtime.api.probes import Readiness, answer_json
from app.runtime.metrics.reading import FigureReader
from app.runtime.metrics.table import (
    ASYNC,
    PREDICTION_SECONDS,
    PREDICTIONS,
    QUEUE_SECONDS,
    SYNC,
    Counted,
)
from app.runtime.metrics.tally import SUM, Key
from app.runtime.requests.errors import NOT_READ, QueueUnavailable

ANSWER_SECONDS = 5.0


class MetricsResource:
    """``GET /metrics``: the figures of all processes and hosts, whichever API process is asked.

    While Redis is away it tells just that: what was counted comes when it is back.
    """

    def __init__(self, key: str, reader: FigureReader, models: Models) -> None:
        self._key = key.encode()
        self._reader = reader
        self._models = models

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer in Prometheus's text format; raises Unauthorized without METRICS_KEY."""
        if not hmac.compare_digest(read_key(req).encode(), self._key):
            raise Unauthorized("Send METRICS_KEY as `Authorization: Bearer KEY`")
        # Imported when it is first needed: most API processes never are asked.
        from app.runtime.metrics import exposition

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                sums, services = await self._reader.sums()
                metrics = [
                    *exposition.counted_metrics(sums),
                    *exposition.load_metrics(await self._reader.load()),
                    *exposition.process_metrics(services),
                    *exposition.worker_metrics(await self._models.find()),
                    *exposition.redis_metrics(await self._reader.redis_memory()),
                ]
        except (RedisError, OSError):
            metrics = exposition.redis_metrics(None)
        resp.content_type = exposition.CONTENT_TYPE_LATEST
        resp.data = exposition.render(metrics)

    on_head = on_get


class LoadResource:
    """``GET /health/load``: how much there is to do, and what was done, as JSON."""

    def __init__(self, reader: FigureReader, readiness: Readiness) -> None:
        self._reader = reader
        self._readiness = readiness

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer it; raises QueueUnavailable."""
        found = await self._readiness.examine()
        if found["redis"] == state.DOWN:
            raise QueueUnavailable(NOT_READ)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                load = await self._reader.load()
                sums, services = await self._reader.sums()
                memory, limit = await self._reader.redis_memory()
        except (RedisError, OSError) as error:
            raise QueueUnavailable(NOT_READ) from error
        answer_json(
            resp,
            {
                **found,
                "time": load["now"],
                "queues": {kind: _queue(kind, load, sums) for kind in (SYNC, ASYNC)},
                "callbacks": {
                    name: int(load[f"callbacks_{name}"])
                    for name in ("pending", "crowded", "failed")
                },
                "processes": [
                    {
                        "service": each.service,
                        "host": each.host,
                        "processes": each.processes,
                        "memory_bytes": each.memory,
                    }
                    for each in services
                ],
                "redis_memory_bytes": int(memory),
                "redis_memory_limit_bytes": int(limit),
            },
        )

    on_head = on_get


def _queue(kind: str, load: Mapping[str, float], sums: Mapping[Key, float]) -> dict[str, Any]:
    return {
        "length": int(load[f"{kind}_queued"]),
        "oldest_seconds": load[f"{kind}_oldest"],
        "held": int(load[f"{kind}_held"]),
        "predictions": {
            labels[1]: int(value)
            for (name, labels, _), value in sorted(sums.items())
            if name == PREDICTIONS.name and labels[0] == kind
        },
        "queue_seconds": _histogram(QUEUE_SECONDS, kind, sums),
        "prediction_seconds": _histogram(PREDICTION_SECONDS, kind, sums),
    }


def _histogram(metric: Counted, kind: str, sums: Mapping[Key, float]) -> dict[str, Any]:
    """Return a histogram as Prometheus has it: how many took at most so many seconds."""
    parts = [sums.get((metric.name, (kind,), str(i)), 0.0) for i in range(len(metric.buckets) + 1)]
    counts = [int(count) for count in accumulate(parts)]
    return {
        "count": counts[-1],
        "sum": sums.get((metric.name, (kind,), SUM), 0.0),
        "buckets": [
            {"at_most": bound, "count": count}
            for bound, count in zip(metric.buckets, counts, strict=False)
        ],
    }
