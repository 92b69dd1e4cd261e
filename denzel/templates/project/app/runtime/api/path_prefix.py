"""Answer under the path that a proxy publishes the API at."""

from __future__ import annotations

import falcon.asgi

from app.runtime.hosts import without_prefix


class PathPrefix:
    """Falcon middleware that routes ``/iris/predict`` as ``/predict``, for a prefix ``/iris``.

    ``req.root_path`` is the prefix then, whether or not the proxy passed it on: links begin so.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Take the prefix off; Falcon routes by what ``req.path`` is afterwards."""
        req.path = without_prefix(req.path, self._prefix)
        req.scope["root_path"] = self._prefix
