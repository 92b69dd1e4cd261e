"""Log handlers that never fail whoever logs."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Callable
from datetime import datetime

import pytest

from app.runtime import logs
from app.runtime.settings import parse_settings


def log(handler: logging.Handler, message: str, *arguments: object) -> None:
    """Write a message as a logger would."""
    handler.handle(logging.LogRecord("test", logging.ERROR, "", 0, message, arguments, None))


def test_a_broken_message_raises_nothing() -> None:
    with open(os.devnull, "w", encoding="utf-8") as output:  # noqa: PTH123
        log(logs.OutputHandler(output), "%d", "no number")


def test_an_output_that_is_closed_raises_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as output:
        handler = logs.OutputHandler(output)
        log(handler, "lost")
        handler.stream = None
        log(handler, "lost")
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def lines_of(settings: dict[str, str], logged: Callable[[logging.Logger], None]) -> list[str]:
    """Return what the service ``api`` writes when ``logged`` is called."""
    output = io.StringIO()
    handler = logs.OutputHandler(output)
    handler.setFormatter(logs.make_formatter(parse_settings(settings), "api"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logged(logger)
    return output.getvalue().splitlines()


def test_a_line_carries_the_tasks_id_once() -> None:
    def logged(logger: logging.Logger) -> None:
        logger.warning("slow", extra=logs.of_task("a1b2"))
        logger.warning("task a1b2 is slow", extra=logs.of_task("a1b2"))
        token = logs.current_task.set("c3d4")
        logger.warning("said by the pipeline")
        logs.current_task.reset(token)
        logger.warning("nothing to do")

    ends = [line.partition("[WARNING] ")[2] for line in lines_of({}, logged)]
    assert ends == ["slow [a1b2]", "task a1b2 is slow", "said by the pipeline [c3d4]",
                    "nothing to do"]  # fmt: skip


def test_json_has_a_line_for_each_record_with_its_traceback() -> None:
    def logged(logger: logging.Logger) -> None:
        try:
            raise ValueError("two\nlines \ud800")
        except ValueError:
            logger.exception("failed: %s", "é", extra=logs.of_task("a1b2"))

    (line,) = lines_of({"LOG_FORMAT": "json"}, logged)
    record = json.loads(line)
    assert record["message"] == "failed: é"
    assert record["level"] == "ERROR"
    assert (record["service"], record["task_id"]) == ("api", "a1b2")
    assert "ValueError: two\nlines" in record["exception"]
    assert datetime.fromisoformat(record["time"]).tzinfo is not None


def test_what_is_printed_is_logged_line_by_line() -> None:
    output, text = io.StringIO(), io.StringIO()
    handler = logs.OutputHandler(output)
    handler.setFormatter(logs.JsonFormatter("denzel"))
    printed = logs.PrintedLines(text, handler, "stdout")
    print("one\ntwo", file=printed)
    print("10%\r100%\r\n", end="half", file=printed)
    messages = [json.loads(line)["message"] for line in output.getvalue().splitlines()]
    assert messages == ["one", "two", "100%"]
    print(" a line", file=printed)
    assert json.loads(output.getvalue().splitlines()[-1])["message"] == "half a line"


def test_what_is_printed_without_line_ends_is_neither_lost_nor_kept_for_ever() -> None:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    printed = logs.PrintedLines(text, handler, "stdout")
    for number in range(1000):
        print(f"{number} of 1000", end="\r", file=printed)
    assert len(printed._rest) < 20
    print("1000 of 1000", file=printed)
    assert text.getvalue() == "1000 of 1000\n"
    for _ in range(2 * logs.LONGEST_LINE):
        print(".", end="", file=printed)
    assert text.getvalue().count(".") > logs.LONGEST_LINE
    assert len(printed._rest) <= logs.LONGEST_LINE


def test_an_outage_is_logged_at_once_then_ever_less_often_then_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    outage = logs.Outage(logging.getLogger("test"), "Redis", lambda: now[0])
    assert not outage.ended()
    for second in range(100):
        now[0] = float(second)
        outage.failed(OSError("refused"))
    assert [record.getMessage() for record in caplog.records] == [
        "Redis cannot be reached: refused",
        "Redis cannot be reached for 10 s now: refused",
        "Redis cannot be reached for 30 s now: refused",
        "Redis cannot be reached for 70 s now: refused",
    ]
    assert outage.ended()
    assert caplog.records[-1].getMessage() == "Redis is back after 99 s"
    outage.failed(OSError())
    assert caplog.records[-1].getMessage() == "Redis cannot be reached: OSError"
