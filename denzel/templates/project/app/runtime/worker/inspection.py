"""What the worker tells Flower and ``celery inspect stats`` of itself."""

from __future__ import annotations

from typing import Any

from celery.worker.control import inspect_command
from kombu.utils.url import maybe_sanitize_url


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
