"""gunicorn's configuration while coverage is measured.

uvicorn ends its processes by the signal that asked it to end (``Server.capture_signals``), which
would save nothing.
"""

from __future__ import annotations

import signal
from typing import Any

import coverage

from app.runtime.api.server.gunicorn_conf import *  # noqa: F403 - gunicorn reads this module's names


def post_fork(_server: Any, _worker: Any) -> None:
    """Save what was measured before the process ends itself."""
    raise_signal = signal.raise_signal

    def save_and_raise(number: int) -> None:
        current = coverage.Coverage.current()
        if current is not None:
            current.save()
        raise_signal(number)

    signal.raise_signal = save_and_raise
