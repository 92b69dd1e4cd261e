"""A LightGBM classifier in a pickle, which takes as many threads as it sees processors."""

import os
import pickle
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

PATH = Path("app/assets/model.pkl")


def make() -> None:
    """Train the model and save it."""
    features = np.random.RandomState(0).rand(500, 20)
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1)
    PATH.write_bytes(pickle.dumps(model.fit(features, features.sum(1) > 10)))


def verify_input(json_data: Any) -> Any:
    """Accept."""
    return json_data


def load_model() -> Any:
    """Load the model, and predict once if told to."""
    model = pickle.loads(PATH.read_bytes())
    if "TEST_WARM_UP" in os.environ:
        model.predict_proba(np.zeros((2000, 20)))
    return model


def process(model: Any, json_data: Any) -> Any:
    """Return an array."""
    return np.array([json_data["x"]])


def predict(model: Any, data: Any) -> Any:
    """Predict, and say by whom."""
    return {"y": model.predict_proba(data)[0], "pid": os.getpid()}
