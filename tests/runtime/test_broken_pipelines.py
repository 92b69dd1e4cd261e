"""Pipelines that cannot be used: the API and the worker say why and go on."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from .deployment import Deployment, deployed
from .service import Service

FUNCTIONS = """
def verify_input(json_data): return json_data
def load_model(): return None
def process(model, json_data): return json_data
def predict(model, data): return {}
"""

BROKEN = {
    "syntax error": ("def verify_input(:\n", "SyntaxError"),
    "missing function": (FUNCTIONS.replace("def predict(", "def forecast("), "function predict"),
    "no function": (FUNCTIONS + "process = 'text'", "function process"),
    "missing package": (FUNCTIONS + "import no_such_package", "No module named 'no_such_package'"),
    "raising": (FUNCTIONS + "raise RuntimeError('half\\nway')", "RuntimeError: half way"),
    "leaving": (FUNCTIONS + "import sys; sys.exit('bye')", "SystemExit: bye"),
    "empty": ("", "function verify_input"),
    "null bytes": (FUNCTIONS + "\0", "SyntaxError"),
    "no schema": (FUNCTIONS + "REQUEST = {'type': 'objekt'}", "REQUEST in app/logic/pipeline.py"),
}

LOADERS = {
    "raising": ("raise FileNotFoundError('no iris_svc.pkl')", "FileNotFoundError: no iris_svc"),
    "leaving": ("raise SystemExit(3)", "load_model raised SystemExit: 3"),
    "recursing": ("return load_model()", "RecursionError"),
    "pickled in a notebook": (
        "import pickle; return pickle.loads(b'c__main__\\nScaler\\n.')",
        "move Scaler into a file such as app/logic/model.py",
    ),
}


def show_error(deployment: Deployment) -> tuple[Service, str]:
    """Start the worker; return it and the reason it shows."""
    worker = deployment.start_worker_unready()
    deployment.wait(lambda: deployment.state("worker")[0] == "ERROR", "the worker shows ERROR")
    return worker, deployment.state("worker")[1]


@pytest.mark.parametrize("name", BROKEN)
def test_the_worker_shows_why_and_ends_when_told_to(tmp_path: Path, name: str) -> None:
    pipeline, reason = BROKEN[name]
    with deployed(tmp_path, pipeline) as deployment:
        worker, detail = show_error(deployment)
        assert reason in detail
        assert "pipeline.py" in detail
        assert "\n" not in detail
        assert worker.is_running()  # so that whoever restarts it does so at a human pace
        worker.process.terminate()
        assert worker.process.wait(5) == 1
        assert "Traceback" in worker.output() or "function" in detail


@pytest.mark.parametrize("name", LOADERS)
def test_a_load_model_that_fails_is_shown_by_the_worker(tmp_path: Path, name: str) -> None:
    body, reason = LOADERS[name]
    pipeline = FUNCTIONS.replace("def load_model(): return None", f"def load_model(): {body}")
    with deployed(tmp_path, pipeline) as deployment:
        worker, detail = show_error(deployment)
        assert reason in detail
        assert "Traceback" in worker.output()
        log = (deployment.directory / "logs" / "worker.log").read_text(encoding="utf-8")
        assert reason.split(":")[0] in log
        worker.process.terminate()
        assert worker.process.wait(5) == 1


@pytest.mark.parametrize("name", ["syntax error", "missing function", "leaving"])
def test_the_api_says_what_is_broken_and_answers_info(tmp_path: Path, name: str) -> None:
    pipeline, reason = BROKEN[name]
    with deployed(tmp_path, pipeline) as deployment:
        deployment.start_api()
        for _ in range(2):
            answer = deployment.predict({"value": 1})
            assert answer.status_code == 500
            assert answer.json()["title"] == "Broken pipeline"
            assert reason in answer.json()["description"]
        assert requests.get(f"{deployment.url}/info", timeout=10).status_code == 200
        assert requests.get(f"{deployment.url}/nothing", timeout=10).status_code == 404
        state, detail = deployment.state("api")
        assert state == "ERROR"
        assert reason in detail


def test_a_pipeline_that_was_mended_works_after_a_restart(tmp_path: Path) -> None:
    """With requests that were accepted while the worker could not load its model."""
    broken = FUNCTIONS.replace("def load_model(): return None", "def load_model(): 1 / 0")
    with deployed(tmp_path, broken) as deployment:
        deployment.start_redis()
        worker, _ = show_error(deployment)
        deployment.start_api()
        deployment.wait(
            lambda: requests.get(f"{deployment.url}/status/x", timeout=10).status_code == 404,
            "the API has found Redis",
        )
        waiting = deployment.accept({"value": 1})
        refused = deployment.predict({"value": 1}, Prefer="wait=20")
        assert refused.status_code == 503
        assert "ZeroDivisionError" in refused.json()["description"]
        worker.stop()
        mended = FUNCTIONS.replace("return {}", "return {'value': data['value']}")
        pipeline = deployment.directory / "app" / "logic" / "pipeline.py"
        pipeline.write_text(mended, encoding="utf-8")
        deployment.start_worker()
        assert deployment.final_status(waiting)["result"] == {"value": 1}
        assert deployment.predict({"value": 2}).json() == {"value": 2}


def test_the_default_pipeline_answers_an_empty_object(tmp_path: Path) -> None:
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        assert deployment.predict({"any": "thing"}).content == b"{}"
        info = (deployment.directory / "app/assets/info.txt").read_bytes()
        assert requests.get(f"{deployment.url}/info", timeout=10).content == info
        worker = deployment.services["denzel"]
        worker.process.terminate()
        assert worker.process.wait(15) == 0, worker.output()
        api = deployment.services["api"]
        api.process.terminate()
        assert api.process.wait(15) == 0, api.output()
