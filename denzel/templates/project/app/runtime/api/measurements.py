"""Count what the API answers, where METRICS_KEY is set: Falcon middleware."""

from __future__ import annotations

import time
from typing import Any

import falcon.asgi

from app.runtime.metrics.table import HTTP_REQUESTS, HTTP_SECONDS
from app.runtime.metrics.tally import Tally

OTHER = "other"
"""Counted in place of paths that lead nowhere, and of methods that nothing has: there are many."""
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class HttpMeasurements:
    """Counts each answer, and how long it took; the first of the middleware."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Note when the request began."""
        req.context.began = time.perf_counter()

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: Any, succeeded: bool
    ) -> None:
        """Count it."""
        route = req.uri_template or OTHER
        method = req.method if req.method in METHODS else OTHER
        self._tally.count(HTTP_REQUESTS, method, route, str(resp.status_code))
        self._tally.observe(HTTP_SECONDS, time.perf_counter() - req.context.began, route)
