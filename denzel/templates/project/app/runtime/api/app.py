"""The API's resources put together: ``POST /predict``, ``GET /status/{task_id}`` and the rest."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import falcon
import falcon.asgi

from app.runtime import state
from app.runtime.api.access import AccessControl
from app.runtime.api.admission import Admission
from app.runtime.api.calls import CallReader
from app.runtime.api.cors import Cors
from app.runtime.api.cross_site import CrossSiteGuard
from app.runtime.api.dispatch import Dispatcher
from app.runtime.api.errors import (
    TASK_ID_HEADER,
    ApiError,
    answer_error,
    serialize_http_error,
)
from app.runtime.api.figures import LoadResource, MetricsResource
from app.runtime.api.forwarding import apply_forwarded
from app.runtime.api.measurements import HttpMeasurements
from app.runtime.api.models import Models
from app.runtime.api.openapi import OpenapiResource, describe_api
from app.runtime.api.page.routes import add_page, open_page_paths
from app.runtime.api.path_prefix import PathPrefix
from app.runtime.api.predict import (
    MODEL_HEADER,
    REPLAYED_HEADER,
    BrokenPredictResource,
    PredictResource,
)
from app.runtime.api.probes import LiveResource, Readiness, ReadyResource
from app.runtime.api.status import CancelResource, ResultResource, StatusResource
from app.runtime.api.streaming import StreamDispatcher
from app.runtime.api.verification import Verifier
from app.runtime.hosts import is_loopback
from app.runtime.metrics.reading import FigureReader
from app.runtime.metrics.recorder import AsyncRecorder
from app.runtime.metrics.tally import Tally
from app.runtime.pipeline.loading import Pipeline, PipelineError, import_pipeline
from app.runtime.proxies import TrustedProxies
from app.runtime.requests.errors import RequestError
from app.runtime.settings import Settings, load_settings
from app.runtime.tracing import Tracing, start_tracing

EXPOSED_HEADERS = (
    TASK_ID_HEADER,
    MODEL_HEADER,
    REPLAYED_HEADER,
    "Accept-Encoding",
    "Preference-Applied",
    "Retry-After",
    "WWW-Authenticate",
)
"""What a page of another origin may read of an answer, besides what any may."""
INFO_FILE = Path("app/assets/info.txt")
"""In the project's own directory: it is read afresh, whatever version serves."""

log = logging.getLogger("denzel.api")


def read_info() -> bytes:
    """Return what the deployment's user says of it; raises OSError."""
    return (Path(os.environ.get("DENZEL_PROJECT", "")) / INFO_FILE).read_bytes()


class InfoResource:
    """``GET /info``: the deployment's own description, read afresh each time."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer the text of ``app/assets/info.txt``."""
        resp.content_type = falcon.MEDIA_TEXT
        try:
            resp.data = read_info()
        except FileNotFoundError as error:
            raise falcon.HTTPNotFound(
                title="No info", description=f"This deployment has no {INFO_FILE}"
            ) from error

    on_head = on_get


class Part(Protocol):
    """Something that runs beside the requests, in the event loop."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""


class Lifespan:
    """Falcon middleware that starts and stops the API's parts with the server."""

    def __init__(self, parts: list[Part], problem: str) -> None:
        self._parts = parts
        self._problem = problem

    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Connect, and show in ``denzel status`` that the API serves."""
        for part in self._parts:
            await part.start()
        state.write_state("api", state.ERROR if self._problem else state.UP, self._problem)

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Close the connections."""
        for part in reversed(self._parts):
            await part.stop()


class Api(falcon.asgi.App[Any, Any]):
    """The ASGI application; the server asks it whether the event loop may stand still."""

    verifier: Verifier | None = None
    proxies: TrustedProxies | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._answer = super().__call__
        self.req_options.strip_url_path_trailing_slash = True
        self.add_error_handler(ApiError, answer_error)
        self.add_error_handler(RequestError, answer_error)
        self.set_error_serializer(serialize_http_error)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # type: ignore[override]
        """Answer a request as that of the client whom a trusted proxy speaks for."""
        if self.proxies and scope["type"] == "http":
            apply_forwarded(scope, self.proxies)
        await self._answer(scope, receive, send)

    def trace(self, tracing: Tracing) -> None:
        """Have each request make a span."""
        self._answer = tracing.traced(self._answer)

    def is_verifying(self) -> bool:
        """Tell whether verify_input holds the event loop; from any thread."""
        return self.verifier is not None and self.verifier.is_running_on_loop()


def create_app(settings: Settings | None = None) -> Api:
    """Return the API as an ASGI application, for gunicorn to serve.

    A pipeline that cannot be imported is no reason not to start: ``/info`` answers, and
    ``/predict`` says what is wrong.
    """
    settings = settings or load_settings()
    pipeline, problem = _import_pipeline()
    batch_size = settings.batch_max_size if pipeline and pipeline.predict_batch else 1
    tracing = start_tracing(settings.project_name, "api")
    dispatcher = StreamDispatcher(settings, batch_size, tracing)
    admission = Admission(dispatcher.client, settings.max_waiting, settings.api_processes)
    models = Models(dispatcher.client)
    proxies = TrustedProxies(settings.trusted_proxies)
    parts: list[Part] = [dispatcher, admission, models, proxies]
    middleware: list[Any] = []
    if settings.metrics_key:
        tally = Tally()
        parts.append(AsyncRecorder(dispatcher.client, tally, "api"))
        middleware.append(HttpMeasurements(tally))
    middleware += [Lifespan(parts, problem), *_access_middleware(settings)]
    app = Api(middleware=middleware)
    app.proxies = proxies
    if tracing:
        app.trace(tracing)
    if pipeline is None:
        app.add_route("/predict", BrokenPredictResource(problem))
    else:
        app.verifier = _make_verifier(settings, pipeline)
        reader = CallReader(settings, app.verifier, dispatcher, streams=pipeline.streams)
        predict = PredictResource(reader, dispatcher, admission, models, settings.api_prefix)
        app.add_route("/predict", predict)
    _add_tasks(app, dispatcher, admission)
    _add_descriptions(app, settings, pipeline)
    _add_health(app, settings, dispatcher, models, problem)
    if settings.page:
        add_page(app, settings, dispatcher, pipeline)
    return app


def _make_verifier(settings: Settings, pipeline: Pipeline) -> Verifier:
    return Verifier(
        pipeline.verify_input, settings.verify_threads, pipeline.request, pipeline.parse_request
    )


def _add_tasks(app: Api, dispatcher: Dispatcher, admission: Admission) -> None:
    """Add what tells of a request that was made before, and cancels it."""
    app.add_route("/status/{task_id}", StatusResource(dispatcher, admission))
    app.add_route("/status/{task_id}/result", ResultResource(dispatcher))
    app.add_route("/cancel/{task_id}", CancelResource(dispatcher))


def _add_descriptions(app: Api, settings: Settings, pipeline: Pipeline | None) -> None:
    """Add what tells people and programs what is served here."""
    app.add_route("/info", InfoResource())
    app.add_route("/openapi.json", OpenapiResource(describe_api(settings, pipeline), read_info))


def _add_health(
    app: Api, settings: Settings, dispatcher: Dispatcher, models: Models, problem: str
) -> None:
    """Add what tells how the deployment is, and how much it has to do."""
    readiness = Readiness(dispatcher, models, problem)
    reader = FigureReader(dispatcher.client)
    app.add_route("/health/live", LiveResource())
    app.add_route("/health/ready", ReadyResource(readiness, needs_key=bool(settings.api_keys)))
    app.add_route("/health/load", LoadResource(reader, readiness))
    if settings.metrics_key:
        app.add_route("/metrics", MetricsResource(settings.metrics_key, reader, models))


def _import_pipeline() -> tuple[Pipeline | None, str]:
    """Return the user's pipeline, or None and what is wrong with it."""
    try:
        return import_pipeline(), ""
    except PipelineError as error:
        log.error("%s", error, exc_info=error.__cause__)
        return None, str(error)


def _access_middleware(settings: Settings) -> list[Any]:
    """Return what decides who may ask, in the order in which it does."""
    origins = settings.cors_origins
    middleware: list[Any] = [PathPrefix(settings.api_prefix)] if settings.api_prefix else []
    if origins:
        middleware.append(
            Cors(origins, exposed=EXPOSED_HEADERS, credentials=settings.cors_credentials)
        )
    middleware.append(
        CrossSiteGuard(
            checks_host=is_loopback(settings.api_address),
            allowed_hosts=settings.allowed_hosts,
            origins=origins,
        )
    )
    if settings.api_keys:
        open_paths = open_page_paths() if settings.page else frozenset()
        middleware.append(AccessControl(dict(settings.api_keys), open_paths))
    return middleware
