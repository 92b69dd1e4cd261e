"""The examples of ``startproject``, served: their predictions, refusals, and training."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from denzel.templates import TEMPLATES, example_names
from runtime.deployment import Deployment, deployed

from .serving import need, predicted, predicted_each, run, start

EXAMPLES = TEMPLATES / "examples"
PACKAGES = {
    "digits": ["sklearn", "PIL"],
    "iris": ["sklearn"],
    "lightgbm": ["lightgbm", "sklearn"],
    "torch": ["torch", "sklearn"],
}
REFUSED = {
    "digits": ("aGVsbG8=", " is not a PNG file, or is a damaged one"),
    "iris": ({"petal-width": 0.2}, "For each example all of the features "),
    "lightgbm": ({"hue": 1.08}, " lacks alcohol, malic_acid, ash, "),
    "torch": ([[0, 16]], " must be 8 rows of 8 pixels"),
}
"""An input that is not taken, and what is said of it."""
SINGLES = 64


@dataclass
class Served:
    """A deployment of an example."""

    name: str
    deployment: Deployment


@pytest.fixture(
    scope="module", params=[name for name in example_names() if name != "none"], ids=str
)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    need(*PACKAGES[request.param])
    directory = tmp_path_factory.mktemp(request.param)
    with deployed(directory, None) as deployment:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(EXAMPLES / request.param, directory, ignore=ignore, dirs_exist_ok=True)
        start(deployment)
        yield Served(request.param, deployment)


def held_out(name: str) -> tuple[list[Any], list[Any]]:
    """Return the inputs that an example's model was not trained on, and what it should find."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    loaders = {"iris": datasets.load_iris, "lightgbm": datasets.load_wine}
    data = loaders.get(name, datasets.load_digits)()
    _, inputs, _, targets = train_test_split(
        data.images if name in ("digits", "torch") else data.data,
        data.target,
        test_size=0.2,
        random_state=1,
        stratify=None if name == "iris" else data.target,
    )
    if name == "digits":
        return [png(image) for image in inputs], targets.tolist()
    if name == "torch":
        return inputs.tolist(), targets.tolist()
    if name == "iris":
        names = ["sepal-length", "sepal-width", "petal-length", "petal-width"]
        labels = [f"Iris-{data.target_names[target]}" for target in targets]
    else:
        names = data.feature_names
        labels = [str(data.target_names[target]) for target in targets]
    return [dict(zip(names, row, strict=True)) for row in inputs.tolist()], labels


def png(image: Any) -> str:
    """Return an image of the data set as someone sends it: larger, as a PNG file in base64."""
    from PIL import Image

    pixels = (image * 255 / 16).round().astype("uint8")
    file = BytesIO()
    Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST).convert("RGB").save(
        file, "PNG"
    )
    return base64.b64encode(file.getvalue()).decode()


def found(answer: Any) -> Any:
    """Return the class in the answer for one input."""
    if isinstance(answer, str):
        return answer
    assert 0.1 <= answer["probability"] <= 1
    return answer["digit"] if "digit" in answer else answer["cultivar"]


def test_the_request_that_comes_with_it_is_predicted(served: Served) -> None:
    answer = predicted(served.deployment, example_of(served))
    assert {key: found(each) for key, each in answer.items()} == {
        "iris": {"a123": "Iris-setosa", "b456": "Iris-virginica"},
        "lightgbm": {"a123": "class_0", "b456": "class_2"},
    }.get(served.name, {"a123": 2, "b456": 6})


def test_what_it_was_not_trained_on_is_predicted_alone_and_in_batches(served: Served) -> None:
    inputs, targets = held_out(served.name)
    names = [str(number) for number in range(len(inputs))]
    together = predicted(served.deployment, {"data": dict(zip(names, inputs, strict=True))})
    assert list(together) == names
    right = [found(together[key]) == target for key, target in zip(names, targets, strict=True)]
    assert sum(right) / len(right) >= 0.95
    singles = [{"data": {"x": each}} for each in inputs[:SINGLES]]
    alone = predicted_each(served.deployment, singles)
    for key, answer in zip(names, alone, strict=False):
        assert found(answer["x"]) == found(together[key])
        if served.name != "iris":
            expected = together[key]["probability"]
            assert answer["x"]["probability"] == pytest.approx(expected, rel=1e-4)


def test_a_wrong_request_is_refused_with_its_reason(served: Served) -> None:
    wrong, reason = REFUSED[served.name]
    answer = served.deployment.predict({"data": {"a": wrong}})
    assert answer.status_code == 400
    assert answer.json()["title"] == "Bad input format"
    assert reason in answer.json()["description"]


def test_the_check_finds_nothing_wrong(served: Served) -> None:
    done = run(served.deployment, "-m", "app.runtime.pipeline.check", "--timeout", "180")
    report = json.loads(done.stdout)
    assert report["ok"], report
    names = [step["name"] for step in report["steps"]]
    # Those of an example that says what its requests and answers look like.
    assert [name for name in names if name not in ("REQUEST", "RESPONSE")] == [
        "import", "EXAMPLE", "verify_input", "verify_input's JSON", "load_model", "process",
        "predict", "predict's JSON", "predict_batch", "predict_batch's JSON",
    ]  # fmt: skip
    assert report["result"] == predicted(served.deployment, example_of(served))


def example_of(served: Served) -> Any:
    """Return the request that comes with an example."""
    path = served.deployment.directory / "request.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_api_imports_no_library_that_only_the_worker_needs(served: Served) -> None:
    if served.name == "lightgbm":
        pytest.skip("imports scikit-learn itself where that is installed")
    code = "import sys, app.logic.pipeline; print({'torch', 'sklearn'} & set(sys.modules))"
    assert run(served.deployment, "-c", code).stdout == "set()\n"


def test_training_makes_the_model_anew(served: Served, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / served.name, tmp_path, dirs_exist_ok=True)
    (shipped,) = set((tmp_path / "app" / "assets").iterdir()) - {tmp_path / "app/assets/info.txt"}
    size = shipped.stat().st_size
    shipped.unlink()
    done = run(served.deployment, str(tmp_path / "train.py"))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) >= 0.95
    assert shipped.stat().st_size == pytest.approx(size, rel=0.05)
