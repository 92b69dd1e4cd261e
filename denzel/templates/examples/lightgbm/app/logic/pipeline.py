"""The pipeline of a wine classifier: from a chemical analysis to a cultivar, for many wines."""

from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

FEATURES = [
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280/od315_of_diluted_wines",
    "proline",
]
CULTIVARS = ["class_0", "class_1", "class_2"]
"""The cultivars by the model's numbers for them."""

EXAMPLE = {
    "data": {
        "a123": {
            "alcohol": 14.83,
            "malic_acid": 1.64,
            "ash": 2.17,
            "alcalinity_of_ash": 14.0,
            "magnesium": 97.0,
            "total_phenols": 2.8,
            "flavanoids": 2.98,
            "nonflavanoid_phenols": 0.29,
            "proanthocyanins": 1.98,
            "color_intensity": 5.2,
            "hue": 1.08,
            "od280/od315_of_diluted_wines": 2.85,
            "proline": 1045.0,
        },
        "b456": {
            "alcohol": 13.32,
            "malic_acid": 3.24,
            "ash": 2.38,
            "alcalinity_of_ash": 21.5,
            "magnesium": 92.0,
            "total_phenols": 1.93,
            "flavanoids": 0.76,
            "nonflavanoid_phenols": 0.45,
            "proanthocyanins": 1.25,
            "color_intensity": 8.42,
            "hue": 0.55,
            "od280/od315_of_diluted_wines": 1.62,
            "proline": 650.0,
        },
    }
}
"""Each worker process predicts it before it is UP; ``denzel check`` and ``predict`` use it, too."""

Wines = tuple[list[str], NDArray[np.float64]]
"""The wines' ids, and their analyses: one row for each wine, columns as FEATURES."""


# -------- Runs in the API --------
def verify_input(json_data: Any) -> dict[str, Any]:
    """Refuse a request that does not hold every feature of every wine as a number."""
    if not isinstance(json_data, dict) or not json_data.get("data"):
        raise ValueError("no data to predict for!")
    wines = json_data["data"]
    if not isinstance(wines, dict):
        raise ValueError('json_data["data"] must be a mapping between unique id and features')
    for unique_id, features in wines.items():
        _verify_features(f'json_data["data"]["{unique_id}"]', features)
    return json_data


def _verify_features(place: str, features: Any) -> None:
    if not isinstance(features, dict):
        raise ValueError(f"{place} must be a mapping between feature and value")
    missing = [name for name in FEATURES if name not in features]
    if missing:
        raise ValueError(f"{place} lacks {', '.join(missing)}")
    for name in FEATURES:
        if type(features[name]) not in (int, float):
            raise ValueError(f'{place}["{name}"] must be a number')


# -------- Run in the worker --------
def load_model() -> lightgbm.Booster:
    """Return the trees that train.py saved."""
    return lightgbm.Booster(model_file="app/assets/wine.txt")


def process(model: lightgbm.Booster, json_data: dict[str, Any]) -> Wines:
    """Return the wines' ids and their analyses in the order the model was trained on."""
    wines = json_data["data"]
    rows = [[features[name] for name in FEATURES] for features in wines.values()]
    return list(wines), np.array(rows, dtype=np.float64)


def predict(model: lightgbm.Booster, data: Wines) -> dict[str, Any]:
    """Return each wine's cultivar and the probability of it, by the wine's id."""
    return predict_batch(model, [data])[0]


def predict_batch(model: lightgbm.Booster, batch: list[Wines]) -> list[dict[str, Any]]:
    """Return what ``predict`` would for each request, with one call of the model for all."""
    probabilities = model.predict(np.concatenate([rows for _, rows in batch]))
    answers = map(_answer, probabilities)
    return [{unique_id: next(answers) for unique_id in ids} for ids, _ in batch]


def _answer(probabilities: NDArray[np.float64]) -> dict[str, Any]:
    best = probabilities.argmax()
    return {"cultivar": CULTIVARS[best], "probability": probabilities[best]}
