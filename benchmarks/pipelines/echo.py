"""A pipeline whose model does nothing: what is left is the server's own cost."""

from typing import Any


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
    """Return the data."""
    return {"data": data}


def predict_batch(model: None, batch: list[Any]) -> list[dict[str, Any]]:
    """Return the data of each request."""
    return [{"data": data} for data in batch]
