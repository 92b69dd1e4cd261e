"""Heartbeats while the user's code holds the event loop."""

from __future__ import annotations

import threading

import pytest

from app.runtime.api.server import heartbeat
from app.runtime.api.server.heartbeat import Heartbeat


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beat more often than gunicorn needs it."""
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)


@pytest.mark.parametrize("excused", [True, False])
def test_it_beats_only_while_the_event_loop_is_excused(excused: bool) -> None:
    beaten, asked = threading.Event(), threading.Event()

    def is_excused() -> bool:
        asked.set()
        return excused

    beating = Heartbeat(beaten.set, is_excused)
    beating.start()
    assert asked.wait(5)
    assert beaten.wait(5 if excused else 0.1) is excused
    beating.stop()
