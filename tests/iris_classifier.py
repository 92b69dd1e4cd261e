"""The files of the tutorial's project, as its user comes to write them."""

from __future__ import annotations

REQUIREMENTS = "scikit-learn\nnumpy\nscipy\n"
INFO = "Iris classifier, version 1.0.0 ██\n"
IMPORT_NUMPY = "import numpy as np\n"
PIPELINE = """import pickle
import numpy as np

FEATURES = ["sepal-length", "sepal-width", "petal-length", "petal-width"]


def verify_input(json_data):
    if "callback_uri" not in json_data:
        raise ValueError("callback_uri not supplied")
    for features in json_data["data"].values():
        if not all(feature in features for feature in FEATURES):
            raise ValueError(f"For each example all of the features [{FEATURES}] must be present")
    return json_data


def load_model():
    with open("./app/assets/iris_svc.pkl", "rb") as model_file:
        return pickle.load(model_file)


def process(model, json_data):
    ids = json_data["data"].keys()
    rows = [[features[name] for name in FEATURES] for features in json_data["data"].values()]
    return ids, np.array(rows)


def predict(model, data):
    ids, rows = data
    return dict(zip(ids, model.predict(rows)))
"""
TRAINING = """
import pickle
from sklearn.datasets import load_iris
from sklearn.svm import SVC
iris = load_iris()
model = SVC().fit(iris.data, [f"Iris-{iris.target_names[target]}" for target in iris.target])
with open("app/assets/iris_svc.pkl", "wb") as saved_file:
    pickle.dump(model, saved_file)
"""
FLOWERS = {
    "a123": {"sepal-length": 4.6, "sepal-width": 3.6, "petal-length": 1.0, "petal-width": 0.2},
    "b456": {"sepal-length": 6.5, "sepal-width": 3.2, "petal-length": 5.1, "petal-width": 2.0},
}
SPECIES = {"a123": "Iris-setosa", "b456": "Iris-virginica"}


def marked(version: int) -> str:
    """Return the pipeline with a version in its predictions."""
    return PIPELINE.replace("model.predict(rows)))", f"model.predict(rows)), version={version})")
