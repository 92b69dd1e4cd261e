"""A pipeline with predict_batch, which fails as a whole when one of its batch is bad.

``number`` comes back, with the size of the batch it was predicted in; ``fault`` names what is to
go wrong.
"""

import time
from typing import Any

BATCH_SECONDS = 0.01


def verify_input(json_data: Any) -> Any:
    """Refuse what says so."""
    if json_data["fault"] == "verify":
        raise ValueError(f"refused {json_data['number']}")
    return json_data


def load_model() -> Any:
    """There is none."""


def process(model: Any, json_data: Any) -> Any:
    """Fail for what says so."""
    if json_data["fault"] == "process":
        raise ValueError(f"process {json_data['number']}")
    return json_data


def predict(model: Any, data: Any) -> Any:
    """Never be called, as there is predict_batch."""
    raise AssertionError("predict was called")


def predict_batch(model: Any, batch: list[Any]) -> list[Any]:
    """Take 10 ms for any batch; raise for all when one of it is bad."""
    time.sleep(BATCH_SECONDS)
    for data in batch:
        if data["fault"] == "predict":
            raise ValueError(f"predict {data['number']}")
    return [
        {"number": {data["number"]}}  # a set, which JSON has no form for
        if data["fault"] == "result"
        else {"number": data["number"], "batch": len(batch)}
        for data in batch
    ]
