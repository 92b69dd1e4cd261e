"""The pipeline of a classifier that reads digits: from PNG files to digits, for many images.

JSON has no bytes, so a PNG file travels as text, in base64.
"""

import base64
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 8
"""Width and height of the images that the model was trained on, in pixels."""
MAX_SIDE = 1024
"""Width and height of the largest image that is taken, in pixels."""

REQUEST = {
    "type": "object",
    "properties": {
        "data": {
            "type": "object",
            "description": "The images, each by an id of your own",
            "minProperties": 1,
            "additionalProperties": {
                "type": "string",
                "description": f"A PNG file of {MAX_SIDE} × {MAX_SIDE} pixels at most, in base64",
                "contentEncoding": "base64",
                "contentMediaType": "image/png",
            },
        }
    },
    "required": ["data"],
}
"""What a request looks like, as a JSON Schema; the API checks it before ``verify_input``."""

RESPONSE = {
    "type": "object",
    "description": "What each image shows, by the image's id",
    "additionalProperties": {
        "type": "object",
        "properties": {
            "digit": {"type": "integer", "minimum": 0, "maximum": 9},
            "probability": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "required": ["digit", "probability"],
    },
}
"""What an answer looks like."""

EXAMPLE = {
    "data": {
        "a123": (
            "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAARklEQVR42gXBQRVAQBQAwHk4OGpgG6iwVTT5DUSgA"
            "Q1E8DRwddPgm8GS1wCRsQeNaYt7pDNXExrfoTxAzUJLXb39h8jMPH+aoxSw90rCRAAAAABJRU5ErkJggg=="
        ),
        "b456": (
            "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAQklEQVR42iXKMRGAMBAAsNyxML4EpCChUioFB5WAh"
            "OpgqoTHwTOQOTBXgFYTGBnYuPZ4XkRl5QHZYw4Y68y/35XNB5DEFQHQJoUxAAAAAElFTkSuQmCC"
        ),
    }
}
"""Each worker process predicts it before it is UP; ``denzel check`` and ``predict`` use it, too."""

Digits = tuple[list[str], NDArray[np.float64]]
"""The images' ids, and their pixels from 0 to 1: one row of 64 for each image."""


# -------- Runs in the API --------
def verify_input(json_data: Any) -> dict[str, Any]:
    """Refuse a request unless each image is a PNG file in base64."""
    if not isinstance(json_data, dict) or not json_data.get("data"):
        raise ValueError("no data to predict for!")
    images = json_data["data"]
    if not isinstance(images, dict):
        raise ValueError('json_data["data"] must be a mapping between unique id and image')
    for unique_id, text in images.items():
        try:
            _open_png(text)
        except ValueError as error:
            raise ValueError(f'json_data["data"]["{unique_id}"] {error}') from error
    return json_data


def _open_png(text: Any) -> Image.Image:
    """Return the image in a base64 text; raise ValueError if there is none, or a large one."""
    try:
        content = base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise ValueError("must be a PNG file in base64") from error
    try:
        image = Image.open(BytesIO(content), formats=["PNG"])
        is_too_large = max(image.size) > MAX_SIDE
        if not is_too_large:
            image.load()
    except Image.DecompressionBombError:
        is_too_large = True
    except (IndexError, OSError, SyntaxError, ValueError) as error:
        # Each of them is what Pillow raises for some damaged file.
        raise ValueError("is not a PNG file, or is a damaged one") from error
    if is_too_large:
        raise ValueError(f"is larger than {MAX_SIDE} × {MAX_SIDE} pixels")
    return image


# -------- Run in the worker --------
def load_model() -> Any:
    """Return the classifier that train.py saved."""
    return pickle.loads(Path("app/assets/digits.pkl").read_bytes())


def process(model: Any, json_data: dict[str, Any]) -> Digits:
    """Return the images' ids and their pixels, at the size the model was trained on."""
    images = json_data["data"]
    return list(images), np.stack([_pixels(_open_png(text)) for text in images.values()])


def _pixels(image: Image.Image) -> NDArray[np.float64]:
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel() / 255


def predict(model: Any, data: Digits) -> dict[str, Any]:
    """Return each image's digit and the probability of it, by the image's id."""
    return predict_batch(model, [data])[0]


def predict_batch(model: Any, batch: list[Digits]) -> list[dict[str, Any]]:
    """Return what ``predict`` would for each request, with one call of the model for all."""
    probabilities = model.predict_proba(np.concatenate([pixels for _, pixels in batch]))
    answers = map(_answer, probabilities)
    return [{unique_id: next(answers) for unique_id in ids} for ids, _ in batch]


def _answer(probabilities: NDArray[np.float64]) -> dict[str, Any]:
    digit = probabilities.argmax()
    return {"digit": digit, "probability": probabilities[digit]}
