"""A pipeline that takes an image and gives it back, for the page to upload and to show."""

import base64
from typing import Any

REQUEST = {
    "type": "object",
    "properties": {
        "image": {
            "type": "string",
            "description": "A PNG file",
            "contentEncoding": "base64",
            "contentMediaType": "image/png",
        },
        "note": {"type": "string", "maxLength": 40},
    },
    "required": ["image"],
}


def verify_input(json_data: Any) -> Any:
    """Take what is as REQUEST says."""
    return json_data


def load_model() -> None:
    """Return nothing."""


def process(model: Any, json_data: Any) -> Any:
    """Return the request."""
    return json_data


def predict(model: Any, data: Any) -> dict[str, Any]:
    """Return how large the image is, and the image."""
    return {"bytes": len(base64.b64decode(data["image"])), "image": data["image"]}
