"""A dispatcher, as an API process has one, and what workers do with its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import redis

from app.runtime.api.dispatch import Dispatcher
from app.runtime.contract import NOBODY, SUCCESS, Outcome
from app.runtime.requests.outcomes import Ended, OutcomeStore
from app.runtime.settings import parse_settings

from ..deployment import Deployment
from ..queues import RESULT_SECONDS, SOON, take, worker

Use = Callable[[Dispatcher], Awaitable[Any]]


def dispatching(deployment: Deployment, use: Use, **settings: str) -> Any:
    """Return what ``use`` makes of an API process's dispatcher."""

    async def run() -> Any:
        values = parse_settings({"REDIS_URL": deployment.environment["REDIS_URL"], **settings})
        dispatcher = Dispatcher(values, batch_size=8)
        await dispatcher.start()
        try:
            async with asyncio.timeout(30):
                return await use(dispatcher)
        finally:
            await dispatcher.stop()

    return asyncio.run(run())


async def until(predicate: Callable[[], Any]) -> Any:
    """Return the predicate's first true value; the event loop runs meanwhile."""
    async with asyncio.timeout(SOON):
        while not (found := predicate()):
            await asyncio.sleep(0.01)
        return found


async def taken(client: redis.Redis, holder: str = "lab/host/1") -> list[str]:
    """Return the ids of the next batch, as soon as there is one."""
    queue = worker(client, holder)
    found: list[str] = await until(lambda: take(queue)[0])
    return found


def outcomes(client: redis.Redis) -> OutcomeStore:
    """Return where the worker of ``taken`` tells outcomes."""
    return OutcomeStore(client, "lab/host/1", RESULT_SECONDS)


def finish_sync(client: redis.Redis, dispatcher: Dispatcher, *task_ids: str) -> None:
    """Have a worker tell outcomes, each with its id as its body."""
    outcomes(client).finish_sync(
        [
            Ended(Outcome(each, SUCCESS, b'"%b"' % each.encode()), dispatcher.name, NOBODY)
            for each in task_ids
        ]
    )
