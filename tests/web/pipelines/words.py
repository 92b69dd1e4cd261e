"""A pipeline that says the words of a request, one after the other."""

import time
from collections.abc import Generator
from typing import Any


def verify_input(json_data: dict[str, Any]) -> dict[str, Any]:
    """Take anything."""
    return json_data


def load_model() -> None:
    """Return nothing."""


def process(model: Any, json_data: dict[str, Any]) -> dict[str, Any]:
    """Return the request."""
    return json_data


def predict(model: Any, data: dict[str, Any]) -> Generator[str, None, dict[str, int]]:
    """Yield the words, wait, and return how many they were; or raise."""
    yield from data["words"]
    if data.get("raises"):
        raise ValueError("no more words")
    time.sleep(data.get("seconds", 0))
    return {"words": len(data["words"])}
