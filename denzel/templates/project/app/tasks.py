"""The Celery application and its task; importing this opens no connection, loads no model.

Tasks of your own may stand here, too: they go on the queue ``celery`` and run in the worker's
processes, with all that Celery has.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from app.runtime.contract import INVOKE_PREDICT
from app.runtime.worker.step import PredictionStep

celery_app = Celery("app", config_source="app.runtime.worker.celeryconfig", set_as_current=True)
celery_app.steps["consumer"].add(PredictionStep)


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    """Log as all services do, in new processes, too; Celery has a format of its own."""
    from app.runtime.worker.logs import configure_logging

    configure_logging()


@signals.worker_process_init.connect
def _prepare_process(**_: Any) -> None:
    """Make a new pool process ready to predict; it may load the model."""
    from app.runtime.worker.processes import prepare_process

    prepare_process()


@celery_app.task(name=INVOKE_PREDICT, acks_late=True)
def invoke_predict(json_data: Any) -> None:
    """Stand for a prediction, as Flower shows it: ``POST /predict`` is what asks for one.

    The worker predicts for such tasks in batches (``app/runtime/worker``), so this body is run by
    nothing but a call of it.
    """
    raise RuntimeError("invoke_predict cannot be called; POST to /predict instead")
