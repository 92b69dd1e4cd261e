"""``GET /page/config``: what the page must know besides the API's description."""

from __future__ import annotations

import falcon
import falcon.asgi
import orjson

from app.runtime.api.dispatch import Dispatcher
from app.runtime.hosts import is_loopback
from app.runtime.pipeline.json_codec import loads
from app.runtime.settings import Settings


class ConfigResource:
    """``GET /page/config``: how ``/predict`` answers, where Flower is, and EXAMPLE as a text.

    As a text, since JavaScript's numbers do not keep ``1.0`` apart from ``1``.
    """

    def __init__(self, settings: Settings, dispatcher: Dispatcher, example: bytes | None) -> None:
        self._dispatcher = dispatcher
        published = settings.published_ports  # the API's, and the monitor's
        self._fixed = {
            "example": indented(example) if example else None,
            "monitor": {
                "port": published[1] if len(published) > 1 else settings.monitor_port,
                "prefix": settings.monitor_prefix,
                "is_local": is_loopback(settings.monitor_address),
            },
        }

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer it."""
        mode = self._dispatcher.response_mode
        resp.content_type = falcon.MEDIA_JSON
        resp.cache_control = ["no-store"]
        resp.data = orjson.dumps({**self._fixed, "is_async": mode.is_async})

    on_head = on_get


def indented(text: bytes) -> str:
    """Return a JSON text with its lines indented, where that changes none of its numbers."""
    value = loads(text)
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # an integer beyond 64 bits
        return text.decode()
