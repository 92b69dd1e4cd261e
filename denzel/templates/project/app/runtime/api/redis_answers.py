"""Wait for what Redis answers, and say what it means for a request when none comes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from app.runtime.requests.errors import (
    MEMORY_FULL,
    NOT_CONFIRMED,
    NOT_READ,
    NOT_REPLICATED,
    REFUSED,
    NotReplicated,
    QueueFull,
    QueueUnavailable,
)

ANSWER_SECONDS = 5.0
"""How long Redis may take to answer."""

log = logging.getLogger("denzel.dispatch")


async def confirmed(storing: Any, seconds: float) -> Any:
    """Return what Redis confirms within ``seconds``; raises QueueUnavailable."""
    try:
        async with asyncio.timeout(seconds):
            return await storing
    except TimeoutError as error:
        raise QueueUnavailable(NOT_CONFIRMED) from error
    except (RedisError, OSError, NotReplicated) as error:
        raise unconfirmed(error) from error


async def asked(answer: Any, seconds: float = ANSWER_SECONDS) -> Any:
    """Return what Redis answers within ``seconds``; raises QueueUnavailable."""
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except (RedisError, OSError) as error:
        log.warning("Redis cannot be asked: %s", error)
        raise QueueUnavailable(NOT_READ) from error


def unconfirmed(error: BaseException) -> QueueUnavailable:
    """Return what is told to the client of a request that was not stored without doubt."""
    if isinstance(error, OutOfMemoryError):
        return QueueFull(MEMORY_FULL)
    log.warning("Redis has not confirmed a request: %s", error)
    if isinstance(error, NotReplicated):
        return QueueUnavailable(NOT_REPLICATED)
    if isinstance(error, ResponseError):
        return QueueUnavailable(REFUSED)
    return QueueUnavailable(NOT_CONFIRMED)


def ignore_error(reply: asyncio.Future[Any]) -> None:
    """Have an error of a reply that nobody needs not be reported by asyncio."""
    reply.add_done_callback(lambda done: done.cancelled() or done.exception())
