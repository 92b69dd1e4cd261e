"""A pipeline whose model keeps one processor busy, for about 10 ms a request; it has no batches."""

import hashlib
from typing import Any

ROUNDS = 20
BLOCK = b"x" * 2**20


def verify_input(json_data: Any) -> dict[str, Any]:
    """Refuse a request without data."""
    if not isinstance(json_data, dict) or "data" not in json_data:
        raise ValueError("no data to predict for!")
    return json_data


def load_model() -> None:
    """Load nothing."""


def process(model: None, json_data: dict[str, Any]) -> Any:
    """Return the data as it came."""
    return json_data["data"]


def predict(model: None, data: Any) -> dict[str, Any]:
    """Return the data after the model's work."""
    digest = hashlib.sha256()
    for _ in range(ROUNDS):
        digest.update(BLOCK)
    return {"data": data}
