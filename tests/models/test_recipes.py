"""The recipes of docs/models.rst, word for word: a model is saved, loaded and served."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.deployment import Deployment, deployed

from .serving import need, predicted, run, start

PAGE = Path(__file__).parents[2] / "docs" / "models.rst"
IRIS = """
from sklearn.datasets import load_iris
X, y = load_iris(return_X_y=True)
"""
"""What the models below are trained on; ``make.py`` begins with it."""


@dataclass(frozen=True)
class Recipe:
    """A section of the page, and a model to follow it with.

    ``train`` sets ``model``; the section's other code is to save it and, in ``network.py``, to
    define it.
    """

    section: str
    train: str
    packages: tuple[str, ...]


SKLEARN = "from sklearn.linear_model import LogisticRegression\nimport numpy as np\n"
TORCH = """
import torch
from app.logic.network import new_network
torch.manual_seed(1)
model = new_network()
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
inputs, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
for _ in range(200):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
"""
KERAS = """
import keras
keras.utils.set_random_seed(1)
layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")]
model = keras.Sequential([keras.Input((4,)), *layers])
model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
model.fit(X, y, epochs=60, verbose=0)
"""
RECIPES = {
    "sklearn": Recipe(
        "pickle", f"{SKLEARN}model = LogisticRegression(max_iter=1000).fit(X, y)", ("sklearn",)
    ),
    "lightgbm": Recipe(
        "pickle",
        "import lightgbm\nmodel = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(X, y)",
        ("sklearn", "lightgbm"),
    ),
    "torch": Recipe("torch", TORCH, ("sklearn", "torch")),
    "onnx": Recipe(
        "onnx",
        f"{SKLEARN}model = LogisticRegression(max_iter=1000).fit(X, y)",
        ("sklearn", "skl2onnx", "onnxruntime"),
    ),
    "keras": Recipe("keras", KERAS, ("sklearn", "keras")),
}


def blocks(section: str) -> list[str]:
    """Return the Python code of a section of the page."""
    text = PAGE.read_text(encoding="utf-8")
    (body,) = re.findall(
        rf"^\.\. _models_{section}:\n(.*?)(?=^\.\. _models_|\Z)", text, re.MULTILINE | re.DOTALL
    )
    found = re.findall(r"code-block:: python\n\n((?:   .*\n|\n)+)", body)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in found]


def follow(recipe: Recipe, deployment: Deployment) -> None:
    """Write what the recipe says into a project, with a trained model's file."""
    (shared,) = blocks("request")
    *before, functions = blocks(recipe.section)
    (save,) = [block for block in before if "nn.Module" not in block]
    logic = deployment.directory / "app" / "logic"
    for block in before:
        if block != save:
            (logic / "network.py").write_text(block, encoding="utf-8")
    (logic / "pipeline.py").write_text(f"{shared}\n\n{functions}", encoding="utf-8")
    (deployment.directory / "make.py").write_text(f"{IRIS}{recipe.train}\n{save}", encoding="utf-8")
    made = run(deployment, "make.py")
    assert made.returncode == 0, made.stderr
    (file,) = deployment.directory.glob("model.*")
    file.rename(deployment.directory / "app" / "assets" / file.name)


def keras_settings() -> dict[str, str]:
    """Return what has Keras compute with TensorFlow where that is installed, else with PyTorch."""
    from importlib.util import find_spec

    return {} if find_spec("tensorflow") else {"KERAS_BACKEND": "torch"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_is_served_as_the_recipe_says(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    need(*recipe.packages)
    with deployed(tmp_path, None, keras_settings()) as deployment:
        follow(recipe, deployment)
        start(deployment)
        assert agreement(deployment) >= 0.9
        refused = deployment.predict({"rows": [[1, 2, 3, 4], [1, 2, 3]]})
        assert refused.json()["description"] == "row 1 must be a list of 4 numbers"
        check = run(deployment, "-m", "app.runtime.pipeline.check", "--timeout", "180")
        assert check.returncode == 0, check.stdout + check.stderr


def agreement(deployment: Deployment) -> float:
    """Return the part of the flowers for which the service finds what the data set says."""
    from sklearn.datasets import load_iris

    rows, classes = load_iris(return_X_y=True)
    found: list[Any] = predicted(deployment, {"rows": rows.tolist()})["classes"]
    assert len(found) == len(classes)
    return float((classes == found).mean())
