"""The pipeline these tests deploy: what it returns follows from its input, when it does not."""

from __future__ import annotations

import hashlib
import random
import time
from typing import Any


def verify_input(json_data: Any) -> Any:
    """Take any object."""
    return json_data


def load_model() -> random.Random:
    """Return what makes the run times differ."""
    return random.Random()


def process(model: random.Random, json_data: Any) -> Any:
    """Take up to ``max_seconds``, as the request says."""
    seconds = json_data.get("max_seconds")
    if isinstance(seconds, float) and 0 < seconds < 1:
        time.sleep(model.uniform(0, seconds))
    return json_data


def predict(model: random.Random, data: Any) -> Any:
    """Return the digest of a number, or everything that came, if there is no number."""
    number = data.get("number")
    if type(number) is int and len(data) <= 3:
        return {"number": number, "digest": hashlib.sha256(str(number).encode()).hexdigest()}
    return data
