"""Celery task messages as kombu's Redis transport lays them out, written without kombu.

The API publishes one kind of task, so it needs neither Celery's import time and memory nor
its cost per call.  Format: Celery's message protocol 2
(docs.celeryq.dev/en/stable/internals/protocol.html), wrapped as in kombu's virtual transport.
A stock Celery worker and Flower read it like any other task.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import orjson

from app.runtime.contract import INVOKE_PREDICT, Request
from app.runtime.store.codecs import encode_requests
from app.runtime.store.keys import PREDICTIONS_QUEUE

SHOWN_ARGUMENT_CHARACTERS = 200

_ORIGIN = f"{os.getpid()}@{socket.gethostname()}"
_NO_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def encode_prediction_message(
    requests: Sequence[Request], reply_to: str, *, sent: float, expires: float | None = None
) -> bytes:
    """Return the message of one ``invoke_predict`` task for a group of requests.

    The task's id is that of the first request, so a lone request's task carries its id.
    ``reply_to`` names the API process that waits for the outcomes; ``sent`` and ``expires``
    are in seconds since the epoch.
    """
    task_id = requests[0].id
    headers = {
        "lang": "py", "task": INVOKE_PREDICT, "id": task_id, "root_id": task_id,
        "parent_id": None, "group": None, "argsrepr": _shown(requests), "kwargsrepr": "{}",
        "origin": _ORIGIN, "retries": 0, "eta": None,
        "expires": expires and datetime.fromtimestamp(expires, UTC).isoformat(),
        "timelimit": [None, None], "ignore_result": True, "shadow": None,
        "sent": sent,  # denzel's own: see app/runtime/requests/ledger.py
    }  # fmt: skip
    properties = {
        "correlation_id": task_id,
        "delivery_tag": uuid4().hex,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": PREDICTIONS_QUEUE},
        "priority": 0,
    }
    body = [[encode_requests(requests), reply_to], {}, _NO_EMBED]
    return orjson.dumps(
        {
            "body": orjson.dumps(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
    )


def _shown(requests: Sequence[Request]) -> str:
    """Return what Flower shows as the task's arguments: the lone request, or the ids."""
    if len(requests) > 1:
        return f"{len(requests)} requests: " + ", ".join(request.id for request in requests)
    payload = requests[0].payload
    if payload is None:
        return requests[0].id
    return payload[:SHOWN_ARGUMENT_CHARACTERS].decode(errors="ignore")
