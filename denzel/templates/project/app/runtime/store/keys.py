"""Everything that knows a key in Redis, or how bytes are laid out there.

========================  =======================================================
``predictions``           list: Celery's queue of ``invoke_predict`` tasks
``predictions.sync``      list: the same for synchronous requests, not written to disk
``denzel:task:ID``        string: a request's record, ``STATE JSON``
``denzel:frame:GROUP``     string: the outcomes of a group of synchronous requests, as sent
``denzel:request:ID``     string: a request's callback URI as JSON, a line end, its JSON;
                          asynchronous requests and those too large for a message
``denzel:queued``, …      the ledger of asynchronous requests: see ``requests/ledger.py``
``denzel:callback:ID``    hash: where a callback goes, and what became of it
``denzel:callbacks:due``  sorted set: callbacks to deliver, by the time of the next attempt
``denzel:callbacks:waiting:R``  list: callbacks that wait until receiver R has room for more
``denzel:callbacks:crowded``  set: the receivers that callbacks wait for
``denzel:callbacks:failed``  sorted set: callbacks given up but kept, by when they were
``denzel:callbacks:wake``  channel: wakes the callbacks service
``denzel:watchers:ID``    set: API processes that wait for the end of a request
``denzel:idempotency:H``  string: id and digest of the body that came with an Idempotency-Key
``denzel:stop:HOLDER``    list: requests a worker shall stop (``app/runtime/worker/stopping.py``)
``denzel:stopping:ID``    string: who shall stop this request; gone when it need not be
``denzel:workers``        hash: each worker's name, how many processes it has
``denzel:speed``          string: seconds a prediction takes, measured of late
``denzel:response``       string: how ``/predict`` answers, ``{"mode", "timeout"}``
``denzel:reply:NAME``     channel: outcomes for the API process called NAME
``denzel:ended:NAME``     channel: ids of requests that have ended, for the API process NAME
``denzel:work``           channel: calls all workers to the two lists of tasks
``denzel:control``        channel: a new response mode, and the list that takes its receipts
========================  =======================================================
"""

from __future__ import annotations

from uuid import uuid4

PREDICTIONS_QUEUE = "predictions"

SYNC_QUEUE = "predictions.sync"
"""A stock Celery worker serves it with ``-Q predictions,predictions.sync``."""

WORK_CHANNEL = "denzel:work"

CONTROL_CHANNEL = "denzel:control"

RESPONSE_KEY = "denzel:response"

WORKERS_KEY = "denzel:workers"

SPEED_KEY = "denzel:speed"

QUEUED_KEY = "denzel:queued"

LEASED_KEY = "denzel:leased"

CALLBACKS_DUE_KEY = "denzel:callbacks:due"

CALLBACKS_FAILED_KEY = "denzel:callbacks:failed"

CALLBACKS_CROWDED_KEY = "denzel:callbacks:crowded"

CALLBACKS_WAKE_CHANNEL = "denzel:callbacks:wake"

GROUP_DIGITS = 3
"""Hexadecimal digits at the end of an id that count the requests of a group."""


def task_key(task_id: str) -> str:
    """Return the key of a request's record."""
    return f"denzel:task:{task_id}"


def request_key(task_id: str) -> str:
    """Return the key of a request that stands beside its message."""
    return f"denzel:request:{task_id}"


def frame_key(task_id: str) -> str:
    """Return the key of the outcomes of the group a synchronous request travelled in."""
    return f"denzel:frame:{task_id[:-GROUP_DIGITS]}"


def group_ids(count: int) -> list[str]:
    """Return ids for a group of requests: UUIDs alike but for the last digits.

    So a request's id alone tells where its group's outcomes stand.
    """
    base = str(uuid4())[:-GROUP_DIGITS]
    return [f"{base}{position:0{GROUP_DIGITS}x}" for position in range(count)]


def callback_key(task_id: str) -> str:
    """Return the key of what is known of a request's callback."""
    return f"denzel:callback:{task_id}"


def watchers_key(task_id: str) -> str:
    """Return the key of the API processes that wait for a request's end."""
    return f"denzel:watchers:{task_id}"


def ended_channel(name: str) -> str:
    """Return the channel on which the API process ``name`` hears of requests' ends."""
    return f"denzel:ended:{name}"


def idempotency_key(digest: str) -> str:
    """Return the key of what an Idempotency-Key, given by its digest, stands for."""
    return f"denzel:idempotency:{digest}"


def stop_key(holder: str) -> str:
    """Return the key of the requests a worker shall stop."""
    return f"denzel:stop:{holder}"


def stopping_key(task_id: str) -> str:
    """Return the key that tells that a request is still to be stopped."""
    return f"denzel:stopping:{task_id}"


def reply_channel(name: str) -> str:
    """Return the channel on which the API process ``name`` hears of outcomes."""
    return f"denzel:reply:{name}"
