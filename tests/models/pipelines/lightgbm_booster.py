"""A LightGBM booster from a text file."""

import os
from typing import Any

import lightgbm
import numpy as np

PATH = "app/assets/model.txt"


def make() -> None:
    """Train the model and save it."""
    features = np.random.RandomState(0).rand(500, 20)
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1)
    model.fit(features, features.sum(1) > 10).booster_.save_model(PATH)


def verify_input(json_data: Any) -> Any:
    """Accept."""
    return json_data


def load_model() -> Any:
    """Load the model, and predict once if told to."""
    model = lightgbm.Booster(model_file=PATH)
    if "TEST_WARM_UP" in os.environ:
        model.predict(np.zeros((2000, 20)))
    return model


def process(model: Any, json_data: Any) -> Any:
    """Return an array."""
    return np.array([json_data["x"]])


def predict(model: Any, data: Any) -> Any:
    """Predict, and say by whom."""
    return {"y": model.predict(data)[0], "pid": os.getpid()}
