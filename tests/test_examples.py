"""The iris example, with the real model and scikit-learn; and the tutorial's own code."""

import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import denzel

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "denzel" / "templates"
IRIS = TEMPLATES / "examples" / "iris"

SETOSA = {"sepal-length": 4.6, "sepal-width": 3.6, "petal-length": 1.0, "petal-width": 0.2}
VIRGINICA = {"sepal-length": 6.5, "sepal-width": 3.2, "petal-length": 5.1, "petal-width": 2.0}
ANSWER = {"a123": "Iris-setosa", "b456": "Iris-virginica"}
FEATURES_MISSING = (
    "For each example all of the features [['sepal-length', 'sepal-width', 'petal-length', "
    "'petal-width']] must be present"
)


def load(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def iris() -> ModuleType:
    return load(IRIS / "app" / "logic" / "pipeline.py")


@pytest.fixture
def model(iris: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(IRIS)
    return iris.load_model()


def verified(iris: ModuleType, **flowers: dict[str, float]) -> Any:
    return iris.verify_input({"data": flowers})


def test_the_two_flowers_are_told_apart(iris: ModuleType, model: Any) -> None:
    request = json.loads((IRIS / "request.json").read_text(encoding="utf-8"))
    assert request == {"data": {"a123": SETOSA, "b456": VIRGINICA}}
    answer = iris.predict(model, iris.process(model, iris.verify_input(request)))
    assert answer == ANSWER
    assert [type(species) for species in answer.values()] == [str, str]


def test_order_of_a_flowers_features_does_not_matter(iris: ModuleType, model: Any) -> None:
    shuffled = dict(reversed(VIRGINICA.items()))
    _, rows = iris.process(model, verified(iris, b456=shuffled))
    assert rows.tolist() == [list(VIRGINICA.values())]


def test_a_batch_is_predicted_as_its_requests_are(iris: ModuleType, model: Any) -> None:
    between = {name: (SETOSA[name] + VIRGINICA[name]) / 2 for name in SETOSA}
    requests = [
        verified(iris, a=SETOSA),
        verified(iris, a=VIRGINICA, b=SETOSA, c=between),
        verified(iris, b=VIRGINICA),
    ]
    batch = [iris.process(model, request) for request in requests]
    alone = [iris.predict(model, data) for data in batch]
    assert alone[0] != alone[2]
    assert iris.predict_batch(model, batch) == alone


def test_a_batch_calls_the_model_once(iris: ModuleType, model: Any) -> None:
    class CountingModel:
        calls = 0

        def predict(self, rows: Any) -> Any:
            self.calls += 1
            return model.predict(rows)

    counting = CountingModel()
    data = iris.process(counting, verified(iris, a=SETOSA))
    iris.predict_batch(counting, [data] * 64)
    assert counting.calls == 1


@pytest.mark.parametrize(
    ("request_json", "message"),
    [
        ({}, "no data to predict for!"),
        ([], "no data to predict for!"),
        (1, "no data to predict for!"),
        ({"data": {}}, "no data to predict for!"),
        (
            {"data": [SETOSA]},
            'json_data["data"] must be a mapping between unique id and features',
        ),
        (
            {"data": {"a123": [4.6, 3.6, 1.0, 0.2]}},
            'json_data["data"]["a123"] must be a mapping between feature and value',
        ),
        ({"data": {"a123": {"sepal-length": 4.6}}}, FEATURES_MISSING),
        ({"data": {"a123": {**SETOSA, "petal-width": 1}}}, "All feature values must be floats"),
        ({"data": {"a123": {**SETOSA, "petal-width": "0"}}}, "All feature values must be floats"),
        ({"data": {"a123": SETOSA, "b456": {}}}, FEATURES_MISSING),
    ],
)
def test_bad_requests_are_refused(iris: ModuleType, request_json: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        iris.verify_input(request_json)


def test_training_gives_the_model_that_is_shipped(
    iris: ModuleType,
    model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(IRIS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "app" / "assets" / "iris_svc.pkl").unlink()
    load(tmp_path / "train.py").main()
    assert capsys.readouterr().out == "0.9666666666666667\n"
    monkeypatch.chdir(tmp_path)
    trained = iris.load_model()
    assert trained.support_.tolist() == model.support_.tolist()
    assert trained.dual_coef_ == pytest.approx(model.dual_coef_)


def test_every_info_names_denzels_version() -> None:
    for folder in (TEMPLATES / "project", IRIS):
        text = (folder / "app" / "assets" / "info.txt").read_text(encoding="utf-8")
        banner = text.split("MODEL")[0].splitlines()
        assert denzel.__version__ in [line.strip() for line in banner], folder


def test_the_default_pipeline_answers_an_empty_object() -> None:
    pipeline = load(TEMPLATES / "project" / "app" / "logic" / "pipeline.py")
    model = pipeline.load_model()
    request = {"anything": [1, 2]}
    assert pipeline.predict(model, pipeline.process(model, pipeline.verify_input(request))) == {}
    assert not hasattr(pipeline, "predict_batch")


def tutorial_code(holding: str) -> str:
    """Return the one Python block of the tutorial with the text ``holding``."""
    text = (ROOT / "docs" / "tutorial.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"code-block:: python\n\n((?:   .*\n|\n)+)", text)
    (found,) = [block for block in blocks if holding in block]
    return re.sub(r"^   ", "", found, flags=re.MULTILINE)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    monkeypatch.chdir(tmp_path)

    def run(*holding: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for each in holding:
            exec(tutorial_code(each), names)
        return names

    return run


def test_the_tutorials_code_trains_and_predicts(
    run: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("# -------- Save for later --------")
    assert capsys.readouterr().out == "0.9666666666666667\n"
    (tmp_path / "app" / "assets").mkdir(parents=True)
    (tmp_path / "iris_svc.pkl").rename(tmp_path / "app" / "assets" / "iris_svc.pkl")
    pipeline = run("def verify_input", "def load_model", "def process", "def predict")
    model = pipeline["load_model"]()
    request = {"callback_uri": "http://x", "data": {"a123": SETOSA, "b456": VIRGINICA}}
    data = pipeline["process"](model, pipeline["verify_input"](request))
    assert pipeline["predict"](model, data) == ANSWER


@pytest.mark.parametrize(
    ("request_json", "message"),
    [
        ({}, "callback_uri not supplied"),
        ({"callback_uri": "http://x"}, "no data to predict for!"),
        ({"callback_uri": "http://x", "data": {"a123": {}}}, FEATURES_MISSING),
    ],
)
def test_the_tutorials_code_refuses_bad_requests(
    run: Callable[..., dict[str, Any]], request_json: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run("def verify_input")["verify_input"](request_json)
