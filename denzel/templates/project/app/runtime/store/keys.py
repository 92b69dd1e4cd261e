"""The names of everything that stands in Redis.

================================  ==================================================================
``predictions``                   list: Celery messages of asynchronous requests
``predictions.sync``              list: the same of synchronous ones, not written to Redis's file
``denzel:task:ID``                string: a request's record (``codecs.py``)
``denzel:request:ID``             string: an asynchronous request: its callback URI as JSON, a line
                                  end, its payload
``denzel:payload:ID``             string: the payload of a synchronous one, too large for a message
``denzel:answered:MINUTE``        hash: small outcomes of synchronous requests that were answered
``denzel:abandoned``              sorted set: synchronous requests whose clients have gone, until
                                  their time is up
``denzel:workers``                sorted set: workers ("holders"), by the time their lease ends
``denzel:worker.names``           hash: who has which worker's name (``worker/naming.py``)
``denzel:models``                 hash: how the workers are with their models (``model_states.py``)
``denzel:held:HOLDER``            set: asynchronous requests a worker holds
``denzel:held.sync:HOLDER``       set: synchronous requests a worker holds
``denzel:stop:HOLDER``            list: requests a worker shall stop
``denzel:stopping:ID``            string: who shall stop this request; gone when it need not be
``denzel:watchers:ID``            set: API processes whose clients wait for the end of a request
``denzel:trace:ID``               string: the span under which a request was asked for
``denzel:idempotency:H``          string: id and digest of the body of an Idempotency-Key's request
``denzel:callback:ID``            hash: where a callback goes, and what became of it
``denzel:callbacks:due``          sorted set: callbacks to deliver, by the time of the next attempt
``denzel:callbacks:waiting:R``    list: callbacks that wait until receiver R has room for more
``denzel:callbacks:crowded``      set: the receivers that callbacks wait for
``denzel:callbacks:wake:N``       channel: wakes the callbacks service
``denzel:callbacks:failed``       sorted set: callbacks given up but kept
``denzel:metrics``                hash: what was counted, all processes together (``metrics/``)
``denzel:metrics:processes``      hash: the processes that count
``denzel:received:TOKEN``         string: the callback that the page's own receiver got, as JSON
``denzel:response``               string: how ``/predict`` answers, ``{"is_async", "timeout"}``
``denzel:receipt:TOKEN``          list: the API processes that obey a new response mode
``denzel:reply:NAME``             channel: outcomes for the API process called NAME
``denzel:lost:N``                 channel: synchronous requests that a dead worker held
``denzel:work:N``                 channel: there is something to take from a queue
``denzel:control:N``              channel: a new response mode, and the list that takes its receipts
``denzel:project``                string: the project whose database this is (``redis_check.py``)
================================  ==================================================================

N is the number of the database: channels, unlike keys, are common to all databases of a server, of
which each project has one.  Scripts are given it as KEYS[1].

The Lua scripts in ``lua/`` name the keys they use in their headers.
"""

from __future__ import annotations

PREDICTIONS_QUEUE = "predictions"
SYNC_QUEUE = "predictions.sync"
RESPONSE_KEY = "denzel:response"
WORKERS_KEY = "denzel:workers"
MODELS_KEY = "denzel:models"
CALLBACKS_DUE_KEY = "denzel:callbacks:due"
CALLBACKS_FAILED_KEY = "denzel:callbacks:failed"
CALLBACKS_CROWDED_KEY = "denzel:callbacks:crowded"


def task_key(task_id: str) -> str:
    """Return the key of a request's record."""
    return f"denzel:task:{task_id}"


def request_key(task_id: str) -> str:
    """Return the key of an asynchronous request."""
    return f"denzel:request:{task_id}"


def payload_key(task_id: str) -> str:
    """Return the key of a synchronous request's large payload."""
    return f"denzel:payload:{task_id}"


def trace_key(task_id: str) -> str:
    """Return the key of the span under which a request was asked for."""
    return f"denzel:trace:{task_id}"


def callback_key(task_id: str) -> str:
    """Return the key of what is known of a request's callback."""
    return f"denzel:callback:{task_id}"


def watchers_key(task_id: str) -> str:
    """Return the key of the API processes whose clients wait for a request's end."""
    return f"denzel:watchers:{task_id}"


def stop_key(holder: str) -> str:
    """Return the key of the requests a worker shall stop."""
    return f"denzel:stop:{holder}"


def stopping_key(task_id: str) -> str:
    """Return the key that tells that a request is still to be stopped."""
    return f"denzel:stopping:{task_id}"


def received_key(token: str) -> str:
    """Return the key of the callback that came for a token of the page's."""
    return f"denzel:received:{token}"


def receipt_key(token: str) -> str:
    """Return the key of the API processes that have confirmed a new response mode."""
    return f"denzel:receipt:{token}"


def reply_channel(name: str) -> str:
    """Return the channel on which the API process ``name`` hears of outcomes."""
    return f"denzel:reply:{name}"


def work_channel(database: int) -> str:
    """Return the channel that tells workers that there is something to take."""
    return f"denzel:work:{database}"


def control_channel(database: int) -> str:
    """Return the channel that tells API processes of a new response mode."""
    return f"denzel:control:{database}"


def lost_channel(database: int) -> str:
    """Return the channel that names synchronous requests which a dead worker held."""
    return f"denzel:lost:{database}"


def wake_channel(database: int) -> str:
    """Return the channel that wakes the callbacks service."""
    return f"denzel:callbacks:wake:{database}"
