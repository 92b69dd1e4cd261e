"""The examples' pipelines, iris with its model; and the tutorial's own code.

``tests/models/test_examples.py`` serves each of them.
"""

import base64
import importlib.util
import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

import denzel
from denzel.templates import NO_EXAMPLE, example_names

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "denzel" / "templates"
EXAMPLES = TEMPLATES / "examples"
EXAMPLE_NAMES = [name for name in example_names() if name != NO_EXAMPLE]
IRIS = EXAMPLES / "iris"

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


def pipeline_of(example: str) -> ModuleType:
    return load(EXAMPLES / example / "app" / "logic" / "pipeline.py")


def png(width: int, height: int, format: str = "PNG") -> bytes:
    file = BytesIO()
    Image.new("L", (width, height)).save(file, format)
    return file.getvalue()


def base64_text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def huge_png() -> bytes:
    """Return a small file that says its image has 10^10 pixels."""
    header = png(8, 8).replace(struct.pack(">II", 8, 8), struct.pack(">II", 10**5, 10**5))
    kind_and_data = header[12:29]
    return header[:29] + struct.pack(">I", zlib.crc32(kind_and_data)) + header[33:]


BLACK = [[0] * 8] * 8
WINE = dict.fromkeys(
    json.loads((EXAMPLES / "lightgbm/request.json").read_text())["data"]["a123"], 1
)


@pytest.mark.parametrize("example", ["digits", "lightgbm", "torch"])
@pytest.mark.parametrize("request_json", [None, [], 1, "data", {}, {"data": {}}, {"data": None}])
def test_a_request_without_data_is_refused(example: str, request_json: Any) -> None:
    with pytest.raises(ValueError, match=r"^no data to predict for!$"):
        pipeline_of(example).verify_input(request_json)


@pytest.mark.parametrize(
    ("example", "data", "message"),
    [
        ("lightgbm", [WINE], " must be a mapping between unique id and features"),
        ("lightgbm", {"a": [1.0]}, '["a"] must be a mapping between feature and value'),
        ("lightgbm", {"a": WINE, "b": {}}, f'["b"] lacks {", ".join(WINE)}'),
        ("lightgbm", {"a": {**WINE, "hue": None}}, '["a"]["hue"] must be a number'),
        ("lightgbm", {"a": {**WINE, "hue": True}}, '["a"]["hue"] must be a number'),
        ("torch", [BLACK], " must be a mapping between unique id and image"),
        ("torch", {"a": 1}, '["a"] must be 8 rows of 8 pixels'),
        ("torch", {"a": BLACK[1:]}, '["a"] must be 8 rows of 8 pixels'),
        ("torch", {"a": [*BLACK[1:], [0] * 7]}, '["a"] must be 8 rows of 8 pixels'),
        ("torch", {"a": [*BLACK[1:], "12345678"]}, '["a"] must be 8 rows of 8 pixels'),
        ("torch", {"a": [*BLACK[1:], [17] * 8]}, '["a"] must hold numbers from 0 to 16 alone'),
        ("torch", {"a": [*BLACK[1:], ["1"] * 8]}, '["a"] must hold numbers from 0 to 16 alone'),
        ("digits", ["a"], " must be a mapping between unique id and image"),
        ("digits", {"a": 1}, '["a"] must be a PNG file in base64'),
        ("digits", {"a": "a file"}, '["a"] must be a PNG file in base64'),
        ("digits", {"a": "é"}, '["a"] must be a PNG file in base64'),
        ("digits", {"a": base64_text(b"hello")}, '["a"] is not a PNG file, or is a damaged one'),
        (
            "digits",
            {"a": base64_text(png(40, 40)[:-20])},
            '["a"] is not a PNG file, or is a damaged one',
        ),
        (
            "digits",
            {"a": base64_text(png(9, 9, "BMP"))},
            '["a"] is not a PNG file, or is a damaged one',
        ),
        ("digits", {"a": base64_text(png(1, 1025))}, '["a"] is larger than 1024 × 1024 pixels'),
        ("digits", {"a": base64_text(huge_png())}, '["a"] is larger than 1024 × 1024 pixels'),
    ],
)
def test_data_of_another_form_is_refused_with_its_place(
    example: str, data: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=f'^{re.escape(f"""json_data["data"]{message}""")}$'):
        pipeline_of(example).verify_input({"data": data})


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pngs_of_each_kind_are_read_alike(mode: str) -> None:
    digits = pipeline_of("digits")
    grey = {"1": 0, "I;16": 0}.get(mode, 102)
    file = BytesIO()
    Image.new("L", (40, 40), grey).convert(mode).save(file, "PNG")
    request = digits.verify_input({"data": {"a": base64_text(file.getvalue())}})
    ids, pixels = digits.process(None, request)
    assert ids == ["a"]
    assert pixels.shape == (1, 64)
    assert pixels == pytest.approx(grey / 255, abs=0.01)


@pytest.mark.parametrize("example", EXAMPLE_NAMES)
def test_an_examples_request_is_the_one_in_its_file(example: str) -> None:
    folder = EXAMPLES / example
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    pipeline = pipeline_of(example)
    assert request == pipeline.EXAMPLE
    assert pipeline.verify_input(request) == request


@pytest.mark.parametrize("example", EXAMPLE_NAMES)
def test_an_example_is_small(example: str) -> None:
    files = [path for path in (EXAMPLES / example).rglob("*") if "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 100_000


@pytest.mark.parametrize("folder", ["project", *(f"examples/{name}" for name in EXAMPLE_NAMES)])
def test_every_info_names_denzels_version(folder: str) -> None:
    text = (TEMPLATES / folder / "app" / "assets" / "info.txt").read_text(encoding="utf-8")
    banner = text.split("MODEL")[0].splitlines()
    assert denzel.__version__ in [line.strip() for line in banner]


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
