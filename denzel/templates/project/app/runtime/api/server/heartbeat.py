"""Tell gunicorn that an API process lives while code of the user's holds its event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable

BEAT_SECONDS = 5.0


class Heartbeat:
    """A thread that calls ``beat`` as long as ``is_excused`` says that the event loop may stand.

    gunicorn ends a process that is silent for its ``timeout``, and the event loop, which breaks
    the silence, stands while verify_input runs on it.
    """

    def __init__(self, beat: Callable[[], object], is_excused: Callable[[], bool]) -> None:
        self._beat = beat
        self._is_excused = is_excused
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; the thread does not keep the process from ending."""
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """End the thread at its next turn."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            if self._is_excused():
                self._beat()
