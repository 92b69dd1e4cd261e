"""A pipeline that takes files and forms, and tells what arrived in the worker.

Asked to ``{"draw": n}`` it answers with as many bytes.
"""

import hashlib
import time
from typing import Any

RESPONSE_CONTENT_TYPE = "image/png"


def parse_request(content_type: str, body: Any) -> Any:
    """Take whatever comes; a text says what goes wrong here."""
    if content_type.startswith("text/plain"):
        text = body.decode()
        if text == "slow":
            time.sleep(0.02)
        if text.startswith("refuse"):
            raise ValueError(text)
        if text == "nothing":
            return None
        return {"text": text, "raised": {}["missing"] if text == "raise" else None}
    if content_type.startswith("multipart/"):
        return {"type": content_type.partition(";")[0], **body}
    return {"type": content_type, "raw": body}


def verify_input(json_data: dict[str, Any]) -> dict[str, Any]:
    """Take anything."""
    return json_data


def load_model() -> None:
    """Return nothing: there is no model."""


def described(value: Any) -> Any:
    """Return what of a value is seen from outside: bytes by their digest."""
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, list):
        return [described(item) for item in value]
    return value


def process(model: None, json_data: dict[str, Any]) -> dict[str, Any]:
    """Describe what arrived."""
    if "draw" in json_data:
        return json_data
    return {name: described(value) for name, value in json_data.items()}


def predict(model: None, data: dict[str, Any]) -> Any:
    """Return the description, or a picture."""
    if "draw" not in data:
        return data
    time.sleep(data.get("seconds", 0))
    return None if data["draw"] is None else (b"\x00{\n\xff" * data["draw"])[: data["draw"]]
