"""Start the monitoring page: Flower, with the settings of this deployment."""

from __future__ import annotations

import os
import signal
import sys
import threading

from celery.bin.celery import celery
from celery.bin.celery import main as celery_main
from flower.command import flower
from tornado.ioloop import IOLoop
from tornado.options import options

from app.runtime import state
from app.runtime.settings import load_settings

NICENESS = 10
"""The monitor leaves processors to those that answer; what is left to it suffices to keep up."""


def main() -> int:
    """Run Flower until it is told to stop."""
    settings = load_settings()
    if settings.exposure:
        return refuse(settings.exposure)
    os.nice(NICENESS)
    # Not as arguments or variables: those other programs of this machine may be shown.
    if settings.monitor_user:
        options.basic_auth = [f"{settings.monitor_user}:{settings.monitor_password}"]
    options.read_only = not settings.monitor_control
    arguments = [
        f"--address={settings.monitor_host}",
        f"--port={settings.monitor_port}",
        "--max_tasks=10000",  # of the tasks it has seen, those it keeps in memory
    ]
    celery.add_command(flower)
    # Runs when the loop starts, which is after the port was bound.
    IOLoop.current().add_callback(state.write_state, "monitor", state.UP)
    os.environ.setdefault("FLOWER_PURGE_OFFLINE_WORKERS", "60")
    sys.argv = ["celery", "-A", "app.tasks", "flower", *arguments]
    return int(celery_main() or 0)


def refuse(reason: str) -> int:
    """Show ERROR until the service is stopped: a new try would end no better."""
    state.write_state("monitor", state.ERROR, reason)
    print(reason, file=sys.stderr, flush=True)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    return 1


if __name__ == "__main__":
    sys.exit(main())
