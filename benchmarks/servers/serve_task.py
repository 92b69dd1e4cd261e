"""One Celery task for each request, as Celery's own documentation would have it.

Falcon publishes with ``apply_async`` and waits for the result in a thread of gunicorn's.
``REDIS_SOCKET`` in the environment names the broker's and result backend's unix socket.
"""

from __future__ import annotations

import os
from typing import Any

import falcon
from celery import Celery, signals

from app.logic import pipeline

URL = f"redis+socket://{os.environ['REDIS_SOCKET']}"
TIMEOUT_SECONDS = 30.0

celery_app = Celery("serve_task", broker=URL, backend=URL)
_models: list[Any] = []


@signals.worker_init.connect
def load_model(**_: Any) -> None:
    """Load the model before Celery forks."""
    _models.append(pipeline.load_model())


@celery_app.task
def invoke_predict(json_data: dict[str, Any]) -> dict[str, Any]:
    """Predict for one request."""
    return dict(pipeline.predict(_models[0], pipeline.process(_models[0], json_data)))


class PredictResource:
    """Verifies, publishes, waits."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer the prediction."""
        try:
            verified = pipeline.verify_input(req.get_media())
        except ValueError as error:
            raise falcon.HTTPBadRequest(description=str(error)) from error
        result = invoke_predict.apply_async((verified,))
        resp.media = result.get(timeout=TIMEOUT_SECONDS)


def create_app() -> falcon.App[Any, Any]:
    """Return the application."""
    app = falcon.App()
    app.add_route("/predict", PredictResource())
    return app
