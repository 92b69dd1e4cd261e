"""What an API process knows of the workers' models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from app.runtime import state
from app.runtime.api.errors import ModelUnavailable
from app.runtime.periodic import Periodic
from app.runtime.store.lua_scripts import load_script
from app.runtime.store.model_states import ModelState, decode_model_states

LOADING = "The model is being loaded"
LOOK_SECONDS = 0.5
ANSWER_SECONDS = 0.5
"""How long a request waits for Redis to say that there is no model, before it goes on as if."""


class Models(Periodic):
    """Looks twice a second at how the workers are with their models.

    While one is known to have its model, nothing of this is on a request's way.
    """

    interval = LOOK_SECONDS

    def __init__(self, client: redis.asyncio.Redis) -> None:
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._find: Any = client.register_script(load_script("find_models"))
        self._has_any = False

    async def find(self) -> list[ModelState]:
        """Return how each worker that has told it is; may raise RedisError and OSError."""
        found = decode_model_states(await self._find())
        self._has_any = any(each.state == state.UP for each in found)
        return found

    async def missing(self) -> ModelState | None:
        """Return why no worker can predict now, None when one can or nothing is known.

        Nothing is known while no worker has told anything, as in the moment of a restart: whoever
        waits then may well be answered in time.
        """
        if self._has_any:
            return None
        with suppress(RedisError, OSError):  # which the request itself will find out
            async with asyncio.timeout(ANSWER_SECONDS):
                return missing_model(await self.find())
        return None

    async def require(self) -> None:
        """Raise ModelUnavailable when no worker can predict now."""
        missing = None if self._has_any else await self.missing()
        if missing is not None:
            raise ModelUnavailable(describe(missing))

    async def look(self) -> None:
        """Look for a model."""
        with suppress(RedisError, OSError):
            await self.find()


def describe(missing: ModelState) -> str:
    """Return why there is no model, as a sentence for a client."""
    if missing.state == state.ERROR:
        return f"The model could not be loaded: {missing.detail}"
    return LOADING


def missing_model(found: Sequence[ModelState]) -> ModelState | None:
    """Return the worker nearest to having a model; None when one has it, or there is none."""
    if any(each.state == state.UP for each in found):
        return None
    loading = [each for each in found if each.state == state.LOADING]
    return next(iter([*loading, *found]), None)
