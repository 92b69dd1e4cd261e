"""``GET /health/live`` and ``GET /health/ready``: for load balancers, orchestrators and scripts."""

from __future__ import annotations

import asyncio
from typing import Any

import falcon
import falcon.asgi
import orjson
from redis.exceptions import RedisError

from app.runtime import state
from app.runtime.api.access import caller
from app.runtime.api.cross_site import is_stranger
from app.runtime.api.dispatch import Dispatcher
from app.runtime.api.models import LOADING, Models, describe, missing_model
from app.runtime.health import NO_REDIS
from app.runtime.store.model_states import ModelState

ANSWER_SECONDS = 2.0
"""How long Redis may take: less than probes wait."""
NO_WORKER = "No worker is there"
NO_MODEL = "No worker has its model"


class Readiness:
    """Finds what this deployment needs to predict, and what of it is missing now.

    ``problem`` says what is wrong with the pipeline, empty when it could be imported.
    """

    def __init__(self, dispatcher: Dispatcher, models: Models, problem: str) -> None:
        self._dispatcher = dispatcher
        self._models = models
        self._problem = problem

    async def examine(self) -> dict[str, Any]:
        """Return whether predictions can be made, and how Redis and each worker are.

        ``description`` says what is missing, empty when nothing is.
        """
        found = await self._find()
        return {
            "ready": not (description := self._missing(found)),
            "description": description,
            "redis": state.DOWN if found is None else state.UP,
            "workers": [_shown(each) for each in found or ()],
        }

    async def _find(self) -> list[ModelState] | None:
        """Return how the workers are; None when Redis does not answer."""
        if not self._dispatcher.is_open:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._models.find()
        except (RedisError, OSError):
            return None

    def _missing(self, found: list[ModelState] | None) -> str:
        if self._problem or found is None:
            return self._problem or NO_REDIS
        if not found:
            return NO_WORKER
        missing = missing_model(found)
        return "" if missing is None else describe(missing)


class LiveResource:
    """``GET /health/live``: this API process answers, whatever else does not."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Say so."""
        answer_json(resp, {"live": True})

    on_head = on_get


class ReadyResource:
    """``GET /health/ready``: predictions can be made; 503 and what is missing when not.

    Where API keys are asked for, the reason is told in full to those who bring one.
    """

    def __init__(self, readiness: Readiness, *, needs_key: bool) -> None:
        self._readiness = readiness
        self._needs_key = needs_key

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer what was found."""
        found = await self._readiness.examine()
        if is_stranger(req) or (self._needs_key and not caller(req)):
            found = _without_details(found)
        if not found["ready"]:
            resp.status = falcon.HTTP_503
            found = {"title": "Not ready", **found}
        else:
            del found["description"]
        answer_json(resp, found)

    on_head = on_get


def answer_json(resp: falcon.asgi.Response, body: dict[str, Any]) -> None:
    """Answer what holds at this moment."""
    resp.content_type = falcon.MEDIA_JSON
    resp.cache_control = ["no-store"]
    resp.data = orjson.dumps(body)


def _shown(found: ModelState) -> dict[str, str]:
    return {"name": found.worker, "state": found.state.rstrip("."), "detail": found.detail}


def _without_details(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the pipeline's exceptions say."""
    description = found["description"]
    if description not in ("", NO_REDIS, NO_WORKER, LOADING):
        description = NO_MODEL
    workers = [{**each, "detail": ""} for each in found["workers"]]
    return {**found, "description": description, "workers": workers}
