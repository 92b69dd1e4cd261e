"""A pipeline that takes large requests: an image as base64 in, its length out."""

from typing import Any


def verify_input(json_data: Any) -> dict[str, Any]:
    """Refuse a request without an image."""
    if not isinstance(json_data, dict) or not isinstance(json_data.get("image"), str):
        raise ValueError("no image to predict for!")
    return json_data


def load_model() -> None:
    """Load nothing."""


def process(model: None, json_data: dict[str, Any]) -> str:
    """Return the image's text."""
    return str(json_data["image"])


def predict(model: None, data: str) -> dict[str, int]:
    """Return how long the text is."""
    return {"length": len(data)}


def predict_batch(model: None, batch: list[str]) -> list[dict[str, int]]:
    """Return how long each text is."""
    return [{"length": len(data)} for data in batch]
