"""``GET /``: a page to try the model in a browser, and see how the service is.

Its files are those in ``files/``; they load nothing from elsewhere, and the browser is told so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi

from app.runtime.api.dispatch import Dispatcher
from app.runtime.api.page.config import ConfigResource
from app.runtime.api.page.received import ReceivedResource
from app.runtime.pipeline.loading import Pipeline
from app.runtime.pipeline.trial import usable_example
from app.runtime.settings import Settings

FILES = Path(__file__).with_name("files")
INDEX = "index.html"
CONFIG_PATH = "/page/config"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
BASE = b'<base href="/">'
"""What in the page says where the API is; a proxy may publish it under a path."""
HEADERS = {
    # img-src: an image that was chosen is shown from memory.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class FileResource:
    """Answers the page's files, which are read once."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._etags = {name: hashlib.sha256(body).hexdigest()[:16] for name, body in files.items()}

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str = INDEX
    ) -> None:
        """Answer a file, or 304 where the browser has it already."""
        if name not in self._files:
            raise falcon.HTTPNotFound
        resp.set_headers(HEADERS)
        resp.cache_control = ["no-cache"]
        etag = f"{self._etags[name]}{hashlib.sha256(req.root_path.encode()).hexdigest()[:4]}"
        resp.etag = etag
        if req.get_header("If-None-Match") == f'"{etag}"':
            resp.status = falcon.HTTP_304
            return
        body = self._files[name]
        if name == INDEX and req.root_path:
            body = body.replace(BASE, b'<base href="%b/">' % req.root_path.encode(), 1)
        resp.content_type = MEDIA_TYPES[Path(name).suffix]
        resp.data = body

    on_head = on_get


def read_files() -> dict[str, bytes]:
    """Return the page's files by their names."""
    return {path.name: path.read_bytes() for path in FILES.iterdir() if path.suffix in MEDIA_TYPES}


def open_page_paths() -> frozenset[str]:
    """Return the paths that need no API key: the page asks for one itself."""
    return frozenset({"/", CONFIG_PATH, *(f"/page/{name}" for name in read_files())})


def add_page(
    app: falcon.asgi.App[Any, Any],
    settings: Settings,
    dispatcher: Dispatcher,
    pipeline: Pipeline | None,
) -> None:
    """Add the page to the API."""
    files = FileResource(read_files())
    app.add_route("/", files)
    app.add_route("/page/{name}", files)
    app.add_route(CONFIG_PATH, ConfigResource(settings, dispatcher, usable_example(pipeline)))
    app.add_route("/page/received/{token}", ReceivedResource(dispatcher.client))
