"""``GET /page/received/{token}``: the callback that the page's own receiver got."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi
import redis.asyncio
from redis.exceptions import RedisError

from app.runtime.api.errors import UnknownTask
from app.runtime.requests.errors import QueueUnavailable
from app.runtime.store.keys import received_key


class ReceivedResource:
    """Shows what ``callbacks/page_receiver.py`` took in; only the page knows the token."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        # Any: redis-py types its answers for both kinds of clients.
        self._redis: Any = client

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, token: str
    ) -> None:
        """Answer the callback's headers and body; 404 while there is none."""
        try:
            received = await self._redis.get(received_key(token))
        except (RedisError, OSError) as error:
            raise QueueUnavailable("Redis does not answer") from error
        if received is None:
            raise UnknownTask("No callback came for this page, or it came too long ago")
        resp.content_type = falcon.MEDIA_JSON
        resp.cache_control = ["no-store"]
        resp.data = received

    on_head = on_get
