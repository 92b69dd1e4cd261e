"""The line in the log that every answer of 400 and above has."""

from __future__ import annotations

import logging

import pytest

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


def test_a_client_cannot_write_lines_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        log_answer("GET", "/a\nERROR: all is lost\x1b[2J" + "x" * 5000, 404, "Not Found")
    message = caplog.records[0].getMessage()
    assert message.isprintable()
    assert len(message) < 300
