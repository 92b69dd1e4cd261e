"""A pipeline that predicts nothing while the file ``hold`` exists, so that requests queue up.

The file is in the project's own directory; services run in a copy of it.
"""

import os
import time
from pathlib import Path
from typing import Any

GATE = Path(os.environ.get("DENZEL_PROJECT", ""), "hold")
LOOK_SECONDS = 0.02


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
    """Return the data once the gate is open."""
    while GATE.exists():
        time.sleep(LOOK_SECONDS)
    return {"data": data}
