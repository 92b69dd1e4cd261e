"""A LightGBM classifier of digits, loaded as its documentation has it."""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

PIXELS = 64


def verify_input(json_data: Any) -> dict[str, Any]:
    """Refuse a request without an image."""
    if not isinstance(json_data, dict) or len(json_data.get("pixels", ())) != PIXELS:
        raise ValueError(f"pixels must be {PIXELS} numbers")
    return json_data


def load_model() -> Any:
    """Load the trees."""
    return lightgbm.Booster(model_file=Path("app") / "assets" / "model")


def process(model: Any, json_data: dict[str, Any]) -> Any:
    """Return the image as an array."""
    return np.array(json_data["pixels"], dtype=np.float64)


def predict(model: Any, data: Any) -> dict[str, int]:
    """Return the digit."""
    return predict_batch(model, [data])[0]


def predict_batch(model: Any, batch: list[Any]) -> list[dict[str, int]]:
    """Return each image's digit."""
    return [{"digit": int(row.argmax())} for row in model.predict(np.stack(batch))]
