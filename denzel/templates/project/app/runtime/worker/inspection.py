"""What the worker tells Flower and ``celery inspect stats`` of itself."""

from __future__ import annotations

from typing import Any

from celery.worker.control import inspect_command
from kombu import Queue
from kombu.utils.url import maybe_sanitize_url

from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE


@inspect_command()
def stats(state: Any, **_: Any) -> dict[str, Any]:
    """Return the worker's statistics, without Redis's password.

    Takes the place of Celery's own command, which leaves out a password by itself, but not one
    inside the URL of a unix socket.
    """
    found: dict[str, Any] = state.consumer.controller.stats()
    broker = found.get("broker")
    if isinstance(broker, dict) and isinstance(broker.get("hostname"), str):
        broker["hostname"] = maybe_sanitize_url(broker["hostname"])
    return found


@inspect_command()
def active_queues(state: Any, **_: Any) -> list[dict[str, Any]]:
    """Return the queues the worker serves: kombu's, and those of predictions.

    Takes the place of Celery's own command, which knows of kombu's alone.  Flower shows how long
    they are.
    """
    consumer = state.consumer.task_consumer
    queues = [*consumer.queues] if consumer else []
    queues += [Queue(name, routing_key=name) for name in (PREDICTIONS_QUEUE, SYNC_QUEUE)]
    return [dict(queue.as_dict(recurse=True)) for queue in queues]
