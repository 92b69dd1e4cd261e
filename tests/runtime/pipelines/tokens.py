"""A pipeline that answers in pieces, as the request says, and notes how each answer ended."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def note(**details: Any) -> None:
    """Append what became of an answer to the trace."""
    with Path("trace.jsonl").open("a", encoding="utf-8") as trace:
        trace.write(json.dumps({"event": "stream", **details}) + "\n")


def verify_input(json_data: dict[str, Any]) -> dict[str, Any]:
    """Take anything."""
    return json_data


def load_model() -> None:
    """Return nothing: there is no model."""


def process(model: None, json_data: dict[str, Any]) -> dict[str, Any]:
    """Return the request."""
    return json_data


def predict(model: None, data: dict[str, Any]) -> Iterator[Any]:
    """Yield ``count`` numbers, each with ``size`` characters, ``pause`` seconds before each."""
    ended = "closed"
    try:
        for number in range(data["count"]):
            time.sleep(data.get("pause", 0))
            if number == data.get("raises"):
                raise ValueError("no more words")
            if number == data.get("dies"):
                os.kill(os.getpid(), signal.SIGKILL)
            if number == data.get("hangs"):
                time.sleep(600)
            yield {"n": number, "text": "x" * data.get("size", 0)}
        ended = "whole"
        return data.get("returns")
    except Exception:
        ended = "raised"
        raise
    finally:
        note(name=data.get("name"), ended=ended)
