"""A pipeline whose model takes 10 ms for any batch, and no processor time: like a small GPU."""

import time
from typing import Any

SECONDS = 0.010


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
    """Return the data after the model's time."""
    time.sleep(SECONDS)
    return {"data": data}


def predict_batch(model: None, batch: list[Any]) -> list[dict[str, Any]]:
    """Return the data of each request, after the model's time for all of them."""
    time.sleep(SECONDS)
    return [{"data": data} for data in batch]
