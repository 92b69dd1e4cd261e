"""gunicorn's configuration for the API: one uvicorn process or more, each with Falcon in it."""

import gc
import os
from pathlib import Path

from app.runtime.hosts import authority
from app.runtime.logs import configure_logging
from app.runtime.settings import load_settings

_settings = load_settings()

bind = authority(_settings.api_host or "127.0.0.1", _settings.api_port)
if "DENZEL_LISTENER" in os.environ:
    # app/runtime/bootstrap/host.py listens already, and goes on when this process is replaced.
    bind = f"fd://{os.environ['DENZEL_LISTENER']}"
worker_class = "app.runtime.api.server.worker.ApiWorker"
workers = _settings.api_processes
worker_connections = 10_000
backlog = 4096
keepalive = _settings.client_timeout
limit_request_field_size = _settings.max_header_bytes
timeout = 60  # of silence, after which gunicorn takes an API process for hung
graceful_timeout = 30
logger_class = "app.runtime.api.server.logger.ServiceLogger"
loglevel = _settings.log_level
accesslog = "-" if _settings.log_level == "debug" else None
control_socket_disable = True  # it would be opened in $HOME, which may be read-only
if Path("/dev/shm").is_dir():
    worker_tmp_dir = "/dev/shm"  # the heartbeat file never waits for a disk


def on_starting(server: object) -> None:
    """Log what the API itself has to say; its processes inherit this."""
    configure_logging(_settings, "api")


def post_worker_init(worker: object) -> None:
    """Spare the garbage collector what was imported: it stays until the process ends."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)  # requests make no cycles, and many objects
