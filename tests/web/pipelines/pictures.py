"""A pipeline that takes an image as it is, or in a form, and answers with it."""

from typing import Any

RESPONSE_CONTENT_TYPE = "image/png"


def parse_request(content_type: str, body: Any) -> dict[str, Any]:
    """Take the body, or the form's field ``image``."""
    if content_type.startswith("multipart/form-data"):
        body = body["image"]
    return {"image": body}


def verify_input(json_data: dict[str, Any]) -> dict[str, Any]:
    """Take what has an image in it."""
    if not isinstance(json_data.get("image"), bytes):
        raise ValueError("send an image")
    return json_data


def load_model() -> None:
    """Return nothing."""


def process(model: Any, json_data: dict[str, Any]) -> Any:
    """Return the image."""
    return json_data["image"]


def predict(model: Any, image: bytes) -> bytes:
    """Return the image."""
    return image
