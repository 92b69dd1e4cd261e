"""Importing the pipeline: what cannot be used is told, with what to do about it."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.runtime.pipeline import loading
from app.runtime.pipeline.loading import Pipeline, PipelineError, import_pipeline, load_model

FUNCTIONS = """
def verify_input(json_data): return json_data
def load_model(): return None
def process(model, json_data): return json_data
def predict(model, data): return {}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a directory whose file ``users_pipeline.py`` is the pipeline."""
    (tmp_path / "app" / "logic").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(loading, "PIPELINE_MODULE", "users_pipeline")
    yield tmp_path
    sys.modules.pop("users_pipeline", None)


def imported(project: Path, text: str) -> Pipeline:
    """Import a pipeline."""
    (project / "users_pipeline.py").write_text(text, encoding="utf-8")
    return import_pipeline()


def refused(project: Path, text: str) -> str:
    """Return why a pipeline cannot be used."""
    with pytest.raises(PipelineError) as raised:
        imported(project, text)
    return str(raised.value)


def test_a_pipeline_is_its_functions_and_its_example(project: Path) -> None:
    pipeline = imported(project, FUNCTIONS + "EXAMPLE = {'a': 1}")
    assert pipeline.example == {"a": 1}
    assert pipeline.predict_batch is None
    assert pipeline.process(None, 5) == 5


@pytest.mark.parametrize("name", ["load_model", "process", "predict"])
def test_an_async_function_of_the_worker_is_refused(project: Path, name: str) -> None:
    text = FUNCTIONS.replace(f"def {name}", f"async def {name}")
    assert refused(project, text).startswith(f"{name} is an `async def`")
    assert f"write `def {name}`" in refused(project, text)


def test_an_async_predict_batch_is_refused(project: Path) -> None:
    reason = refused(project, FUNCTIONS + "async def predict_batch(model, batch): return []")
    assert reason.startswith("predict_batch is an `async def`")


@pytest.mark.parametrize("declared", ["image/png", "audio/wav; rate=8000", "text/csv"])
def test_what_predict_returns_may_be_declared(project: Path, declared: str) -> None:
    text = FUNCTIONS + f"RESPONSE_CONTENT_TYPE = {declared!r}"
    assert imported(project, text).response_type == declared


@pytest.mark.parametrize(
    "declared", ["png", "image/png\n", "application/json", "", 1, "a/b\r\nX: y"]
)
def test_a_type_that_is_none_is_refused(project: Path, declared: object) -> None:
    reason = refused(project, FUNCTIONS + f"RESPONSE_CONTENT_TYPE = {declared!r}")
    assert reason.startswith("RESPONSE_CONTENT_TYPE in app/logic/pipeline.py must be the type")


def test_an_async_parse_request_is_refused(project: Path) -> None:
    reason = refused(project, FUNCTIONS + "async def parse_request(kind, body): return {}")
    assert reason.startswith("parse_request is an `async def`, which the API does not await")


YIELDING = FUNCTIONS.replace("def predict(model, data): return", "def predict(model, data): yield")


def test_a_predict_that_yields_answers_in_pieces(project: Path) -> None:
    assert imported(project, YIELDING).streams


@pytest.mark.parametrize(
    "line", ["def predict_batch(model, batch): return []", 'RESPONSE_CONTENT_TYPE = "image/png"']
)
def test_what_does_not_go_with_pieces_is_refused(project: Path, line: str) -> None:
    assert "does not go with that" in refused(project, YIELDING + line)


@pytest.mark.parametrize("name", ["load_model", "verify_input"])
def test_a_generator_is_refused(project: Path, name: str) -> None:
    lines = [
        line + "; yield" if f"def {name}(" in line else line for line in FUNCTIONS.splitlines()
    ]
    assert refused(project, "\n".join(lines)).startswith(f"{name} holds a `yield`")


def test_what_may_be_async_or_a_generator_is_taken(project: Path) -> None:
    text = FUNCTIONS.replace("def verify_input", "async def verify_input")
    text = text.replace("def process(model, json_data): return json_data",
                        "def process(model, json_data): yield json_data")  # fmt: skip
    imported(project, text + "def predict_batch(model, batch): yield {}")


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("sklearn", "scikit-learn"), ("cv2", "opencv-python-headless"), ("PIL.Image", "pillow"),
        ("yaml", "PyYAML"), ("no_such_package.part", "no-such-package"),
    ],
)  # fmt: skip
def test_a_missing_package_is_told_with_the_line_to_add(
    project: Path, monkeypatch: pytest.MonkeyPatch, module: str, line: str
) -> None:
    monkeypatch.setitem(sys.modules, module.partition(".")[0], None)
    text = FUNCTIONS + f"raise ModuleNotFoundError(\"No module named '{module}'\", name='{module}')"
    reason = refused(project, text)
    assert (
        f"add the line `{line}` to requirements.txt; `denzel updatepipreqs` installs it" in reason
    )


def test_a_module_of_the_users_own_is_told_how_to_import(project: Path) -> None:
    (project / "app" / "logic" / "features_of_mine.py").touch()
    reason = refused(project, FUNCTIONS + "import features_of_mine")
    assert "from app.logic import features_of_mine" in reason
    reason = refused(project, FUNCTIONS + "import app.logic.not_there")
    assert "The project has no file app/logic/not_there.py" in reason


def test_a_model_pickled_from_another_module_is_not_taken_for_a_notebooks() -> None:
    with pytest.raises(PipelineError) as raised:
        load_model(loaded_by(lambda: pickle.loads(b"cjson\nScaler\n.")))
    assert "notebook" not in str(raised.value)


@pytest.mark.parametrize("path", ["app/assets/m.pkl", "home/ada/shop/app/assets/m.pkl", "m.pkl"])
def test_a_file_that_is_elsewhere_in_the_project_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    told = "Paths are relative to the project's directory: app/assets/m.pkl is there"
    for is_there in (False, True):
        if is_there:
            (tmp_path / "app" / "assets").mkdir(parents=True)
            (tmp_path / "app" / "assets" / "m.pkl").touch()
        with pytest.raises(PipelineError) as raised:
            load_model(loaded_by(lambda: Path("/nowhere", path).read_bytes()))
        assert (told in str(raised.value)) is is_there


def loaded_by(load: Callable[[], Any]) -> Pipeline:
    """Return a pipeline with a ``load_model``."""
    return Pipeline(lambda data: data, load, lambda model, data: data, lambda model, data: {})
