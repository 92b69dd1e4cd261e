"""Celery's configuration; Celery imports this module when it first needs a value.

Reasons for the less obvious lines are given with the number of the upstream issue, where
there is one.
"""

from kombu.transport import TRANSPORT_ALIASES

from app.runtime.contract import INVOKE_PREDICT
from app.runtime.settings import load_settings
from app.runtime.store.keys import PREDICTIONS_QUEUE

_settings = load_settings()

# The URL is shown, as by Flower; how Redis is reached is for broker.py to say.
TRANSPORT_ALIASES["denzel-redis"] = "app.runtime.worker.broker:Transport"
broker_url = _settings.redis.url.replace("redis", "denzel-redis", 1)
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # the broker may be away for as long as it likes
broker_channel_error_retry = True  # or refuse to write, as with a full disk
broker_transport_options = {
    "priority_steps": [0],  # no task has a priority; kombu would wait on four lists for them
    # Notice a half-open connection instead of waiting on it for ever (celery #7276).
    "health_check_interval": 25,
    "socket_keepalive": True,
    # Without it a Redis that hangs has the worker and the monitor hang, too, for as long, and they
    # can only be killed.
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
}

# Predictions have queues of their own, which app/runtime/worker/step.py serves; kombu serves the
# default one, for tasks of the user's own.
task_default_queue = "celery"
task_routes = {INVOKE_PREDICT: {"queue": PREDICTIONS_QUEUE}}
task_create_missing_queues = True
worker_prefetch_multiplier = 1  # more would hold a task behind a long one
accept_content = ["json"]  # nothing from the broker is ever unpickled
task_serializer = "json"
task_ignore_result = True  # no result backend; outcomes stand where app/runtime/requests has them
task_track_started = False

worker_consumer = "app.runtime.worker.consumer:EventBufferingConsumer"
worker_send_task_events = True  # Flower's source
worker_enable_remote_control = True
worker_cancel_long_running_tasks_on_connection_loss = False
# A child that loads the model itself, and then predicts for EXAMPLE, reports ready only then; the
# 4 s default would kill every replacement of a dead child, for ever.  One that fails shows why for
# a while before it ends.
worker_proc_alive_timeout = 2 * _settings.model_load_timeout + 60
worker_hijack_root_logger = False
worker_redirect_stdouts = False  # what the pipeline prints goes to the log as it is
