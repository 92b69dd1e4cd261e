"""An XGBoost booster from a JSON file."""

import os
from typing import Any

import numpy as np
import xgboost

PATH = "app/assets/model.json"


def make() -> None:
    """Train the model and save it."""
    features = np.random.RandomState(0).rand(500, 20)
    labels = (features.sum(1) > 10).astype(int)
    xgboost.XGBClassifier(n_estimators=20).fit(features, labels).save_model(PATH)


def verify_input(json_data: Any) -> Any:
    """Accept."""
    return json_data


def load_model() -> Any:
    """Load the model, and predict once if told to."""
    model = xgboost.Booster()
    model.load_model(PATH)
    if "TEST_WARM_UP" in os.environ:
        model.predict(xgboost.DMatrix(np.zeros((2000, 20))))
    return model


def process(model: Any, json_data: Any) -> Any:
    """Return a matrix."""
    return xgboost.DMatrix(np.array([json_data["x"]]))


def predict(model: Any, data: Any) -> Any:
    """Predict, and say by whom."""
    return {"y": model.predict(data)[0], "pid": os.getpid()}
