"""The line in the log that every answer of 400 and above has."""

from __future__ import annotations

import logging

import pytest

from app.runtime.api import answer_log
from app.runtime.api.answer_log import log_answer


@pytest.mark.parametrize(
    ("status", "level"), [(400, "WARNING"), (503, "WARNING"), (504, "WARNING"), (500, "ERROR")]
)
def test_only_a_fault_of_the_service_is_an_error(
    caplog: pytest.LogCaptureFixture, status: int, level: str
) -> None:
    log_answer("POST", "/predict", status, "A title", "an-id", client="::1")
    (record,) = caplog.records
    assert record.levelname == level
    assert record.getMessage() == f"POST /predict: {status} A title [an-id] from ::1"
    assert record.task_id == "an-id"  # type: ignore[attr-defined]


def test_a_client_cannot_write_lines_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        log_answer("GET", "/a\nERROR: all is lost\x1b[2J" + "x" * 5000, 404, "Not Found")
    message = caplog.records[0].getMessage()
    assert message.isprintable()
    assert len(message) < 300


def test_of_many_503s_some_have_a_line_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    flood = answer_log.Flood(lambda: now[0])
    most = answer_log.LINES_PER_WINDOW
    assert [flood.admits("Queue full") for _ in range(most + 3)] == [True] * most + [False] * 3
    assert flood.admits("Worker lost")
    now[0] = answer_log.WINDOW_SECONDS + 1
    assert flood.admits("Queue full")
    assert [record.getMessage() for record in caplog.records] == [
        "503 Queue full: 3 more answers in 11 s"
    ]
