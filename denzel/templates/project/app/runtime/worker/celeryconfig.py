"""Celery's configuration; Celery imports this module when it first needs a value.

Reasons for the less obvious lines are given with the number of the upstream issue, where
there is one.
"""

from app.runtime.settings import load_settings
from app.runtime.store.keys import PREDICTIONS_QUEUE

_settings = load_settings()

# kombu writes a unix socket's URL as redis+socket://, redis-py as unix://.
broker_url = _settings.redis_url.replace("unix://", "redis+socket://", 1)
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # the broker may be away for as long as it likes
broker_transport_options = {
    # A message's acknowledgement is no longer noted in Redis: app/runtime/requests/ledger.py keeps
    # requests until they are done, and does not run a long prediction twice, as the
    # visibility timeout would (celery #5935).
    "ack_emulation": False,
    "priority_steps": [0],  # no task has a priority; kombu would wait on four lists for them
    # Notice a half-open connection instead of waiting on it for ever (celery #7276).
    "health_check_interval": 25,
    "socket_keepalive": True,
    "socket_connect_timeout": 5,
}

task_default_queue = PREDICTIONS_QUEUE
task_create_missing_queues = True
accept_content = ["json"]  # nothing from the broker is ever unpickled
task_serializer = "json"
# Results are stored by app/runtime/store.py, in the same round trip that tells the API about them.
task_ignore_result = True
task_acks_late = True
task_track_started = False
# Prefetching would hold a request behind a long one.  worker/feed.py takes a task when a
# process is free, and kombu takes none.

worker_consumer = "app.runtime.worker.consumer:PatientConsumer"
worker_send_task_events = True  # Flower's source
worker_enable_remote_control = True
worker_cancel_long_running_tasks_on_connection_loss = False
# A child that loads the model itself reports ready only then; the 4 s default would kill every
# replacement of a dead child, for ever.  One that fails shows why for a while before it ends.
worker_proc_alive_timeout = _settings.model_load_timeout + 60
worker_hijack_root_logger = False
worker_redirect_stdouts = False  # what the pipeline prints goes to the log as it is
