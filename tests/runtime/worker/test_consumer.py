"""How soon the worker is back once Redis is."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from kombu import Connection

from app.runtime.worker.consumer import RECONNECT_SECONDS, EventBufferingConsumer

ABSENCE_SECONDS = 600


class Absent(Connection):  # kombu has no types
    """A connection to a Redis that comes back; ``tries`` counts what it took."""

    tries = 0
    is_back = False

    def _establish_connection(self) -> Any:
        self.tries += 1
        if not self.is_back:
            raise ConnectionRefusedError("Connection refused")
        return object()


def test_redis_is_found_soon_however_long_it_was_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    connection, slept = Absent("redis://"), []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        connection.is_back = sum(slept) >= ABSENCE_SECONDS

    monkeypatch.setattr("kombu.utils.functional.sleep", sleep)
    consumer = object.__new__(EventBufferingConsumer)
    assert consumer.ensure_connected(connection) is connection
    assert sum(slept) < ABSENCE_SECONDS + RECONNECT_SECONDS
    assert connection.tries > ABSENCE_SECONDS / RECONNECT_SECONDS
    assert len(caplog.messages) == 2  # away, and back
