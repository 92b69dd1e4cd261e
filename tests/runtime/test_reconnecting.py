"""The API's connections once Redis has been away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

from app.runtime.api.grouping import GroupPolicy

from app.runtime.api.dispatch import Dispatcher
from app.runtime.api.errors import QueueUnavailable

from .deployment import Deployment, deployed

CLIENTS = 20


async def _ask(dispatcher: Dispatcher, count: int) -> int:
    """Ask for records at the same time; return how many could not be read."""
    asked = (dispatcher.record(str(uuid4())) for _ in range(count))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    return sum(isinstance(answer, QueueUnavailable) for answer in answers)


async def _restart_under(deployment: Deployment) -> int:
    policy = GroupPolicy(batching=False, batch_max_size=64)
    dispatcher = Dispatcher(deployment.environment["REDIS_URL"], 60, policy)
    await dispatcher.start()
    try:
        async with asyncio.timeout(30):
            while await _ask(dispatcher, CLIENTS):
                await asyncio.sleep(0.02)
            deployment.services.pop("redis").kill()
            deployment.start_redis()
            while await _ask(dispatcher, 1):
                await asyncio.sleep(0.02)
            return await _ask(dispatcher, CLIENTS)
    finally:
        await dispatcher.stop()


def test_no_request_meets_a_connection_from_before(tmp_path: Path) -> None:
    """Once one is answered, Redis is back for all."""
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        assert asyncio.run(_restart_under(deployment)) == 0
