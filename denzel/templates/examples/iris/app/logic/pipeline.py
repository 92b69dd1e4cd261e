"""The pipeline of an iris classifier: from four measurements to a species, for many flowers."""

import pickle
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEATURES = ["sepal-length", "sepal-width", "petal-length", "petal-width"]

EXAMPLE = {
    "data": {
        "a123": {"sepal-length": 4.6, "sepal-width": 3.6, "petal-length": 1.0, "petal-width": 0.2},
        "b456": {"sepal-length": 6.5, "sepal-width": 3.2, "petal-length": 5.1, "petal-width": 2.0},
    }
}
"""Each worker process predicts it before it is UP; ``denzel check`` and ``predict`` use it, too."""

Flowers = tuple[list[str], NDArray[np.float64]]
"""The flowers' ids, and their measurements: one row for each flower, columns as FEATURES."""


# -------- Runs in the API --------
def verify_input(json_data: Any) -> dict[str, Any]:
    """Refuse a request that does not hold every feature of every flower as a float."""
    # A request may have a "callback_uri", to which an asynchronous answer is sent.  If each must
    # have one, begin with:
    #     if "callback_uri" not in json_data:
    #         raise ValueError("callback_uri not supplied")
    if not isinstance(json_data, dict) or "data" not in json_data:
        raise ValueError("no data to predict for!")
    flowers = json_data["data"]
    if not isinstance(flowers, dict):
        raise ValueError('json_data["data"] must be a mapping between unique id and features')
    if not flowers:
        raise ValueError("no data to predict for!")
    for unique_id, features in flowers.items():
        _verify_features(unique_id, features)
    return json_data


def _verify_features(unique_id: str, features: Any) -> None:
    if not isinstance(features, dict):
        raise ValueError(
            f'json_data["data"]["{unique_id}"] must be a mapping between feature and value'
        )
    if not all(feature in features for feature in FEATURES):
        raise ValueError(f"For each example all of the features [{FEATURES}] must be present")
    if not all(isinstance(value, float) for value in features.values()):
        raise ValueError("All feature values must be floats")


# -------- Run in the worker --------
def load_model() -> Any:
    """Return the classifier that train.py saved."""
    return pickle.loads(Path("app/assets/iris_svc.pkl").read_bytes())


def process(model: Any, json_data: dict[str, Any]) -> Flowers:
    """Return the flowers' ids and their measurements in the order the model was trained on."""
    flowers = json_data["data"]
    rows = [[features[name] for name in FEATURES] for features in flowers.values()]
    return list(flowers), np.array(rows)


def predict(model: Any, data: Flowers) -> dict[str, str]:
    """Return the species of each flower by its id."""
    ids, rows = data
    return dict(zip(ids, model.predict(rows).tolist(), strict=True))


def predict_batch(model: Any, batch: list[Flowers]) -> list[dict[str, str]]:
    """Return what ``predict`` would for each request, with one call of the model for all."""
    species = model.predict(np.concatenate([rows for _, rows in batch])).tolist()
    ends = accumulate(len(ids) for ids, _ in batch)
    return [
        dict(zip(ids, species[end - len(ids) : end], strict=True))
        for (ids, _), end in zip(batch, ends, strict=True)
    ]
