"""docs/from_flask.rst and docs/callbacks.rst, word for word, with Flask and with FastAPI.

The application of the first page answers what the pipeline beside it answers, which is deployed;
the receiver of the second gets that deployment's callbacks.
"""

from __future__ import annotations

import json
import pickle
import shlex
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from app.runtime.callbacks.signing import new_secret, parse_secrets, signature_headers
from documents import Block, blocks, commands

from .deployment import Deployment, deployed
from .ports import free_port
from .service import Service

DOCS = Path(__file__).parents[2] / "docs"
SECRET = new_secret()
SERVE = {"Flask": "flask --app app run --port 9000", "FastAPI": "uvicorn app:app --port 9000"}
"""How the applications are started, which their page need not say."""
ANSWER_SECONDS = 30


@dataclass
class Guide:
    """The two pages followed with one framework."""

    deployment: Deployment
    application: str
    receiver: str
    predictions: Path
    """The receiver's database."""

    def stored(self, task_id: str) -> list[tuple[str, str]]:
        """Return the state and body of each prediction that the receiver stored under an id."""
        with closing(sqlite3.connect(self.predictions)) as database:
            query = "SELECT state, body FROM predictions WHERE id = ?"
            return database.execute(query, (task_id,)).fetchall()

    def called_back(self, body: dict[str, Any]) -> tuple[str, str]:
        """Send a request; return the one state and body that its callback left."""
        task_id = self.deployment.accept({**body, "callback_uri": f"{self.receiver}/predictions"})
        stored = self.deployment.wait(lambda: self.stored(task_id), "the callback is stored", 20)
        assert len(stored) == 1
        return stored[0]

    def deliver(self, task_id: str, body: bytes, *, secret: str = SECRET, **changes: str) -> int:
        """Send the receiver what denzel could have sent; return the status it answers."""
        signed = signature_headers(parse_secrets(secret), task_id, int(time.time()), body)
        headers = {**signed, "denzel-status": "SUCCESS", **changes}
        url = f"{self.receiver}/predictions"
        return requests.post(url, body, headers=headers, timeout=ANSWER_SECONDS).status_code


def saved(page: str, directory: str = "", tab: str = "") -> dict[str, str]:
    """Return the files that a page says to save: in a directory, or in a tab."""
    return {
        block.hint.removeprefix(f"save {directory}"): block.text
        for block in blocks(DOCS / page)
        if block.hint.startswith(f"save {directory}") and block.tab == tab
    }


def marked(page: str, hint: str, tab: str = "") -> Block:
    """Return the one block of a page with a mark."""
    (found,) = [each for each in blocks(DOCS / page) if (each.hint, each.tab) == (hint, tab)]
    return found


def serve(deployment: Deployment, command: str, file: Path, code: str) -> str:
    """Save a web application and start it as its page says, but on a free port; return its URL."""
    file.write_text(code, encoding="utf-8")
    program, *arguments = shlex.split(command.replace("9000", str(port := free_port())))
    environment = {**deployment.environment, "CALLBACK_SECRET": SECRET}
    service = Service(
        program, [sys.executable, "-m", program, *arguments], file.parent, environment
    )
    deployment.services[file.name] = service
    url = f"http://127.0.0.1:{port}"

    def listens() -> bool:
        with suppress(requests.ConnectionError):
            return requests.get(url, timeout=ANSWER_SECONDS).status_code == 404
        return False

    deployment.wait_for(file.name, listens)
    return url


@pytest.fixture(scope="module", params=["Flask", "FastAPI"])
def guide(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guide]:
    framework = str(request.param)
    directory = tmp_path_factory.mktemp(framework)
    web = tmp_path_factory.mktemp("web")
    model = pickle.dumps(LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True)))
    (web / "model.pkl").write_bytes(model)
    files = saved("from_flask.rst", f"{framework.lower()}/")
    (receiver,) = saved("callbacks.rst", tab=framework).values()
    *_, serve_receiver = commands(marked("callbacks.rst", "serve", framework))
    settings = {"CALLBACK_SECRET": SECRET, "CALLBACK_ALLOW": "127.0.0.1"}
    with deployed(directory, files["pipeline.py"], settings) as deployment:
        (directory / "app" / "assets" / "model.pkl").write_bytes(model)
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api(wait=False)
        yield Guide(
            deployment,
            serve(deployment, SERVE[framework], web / "app.py", files["app.py"]),
            serve(deployment, serve_receiver.text, web / "receiver.py", receiver),
            web / "predictions.db",
        )


@pytest.fixture
def running(guide: Guide) -> Guide:
    """The guide once all of its deployment serves."""
    if "callbacks" not in guide.deployment.services:
        guide.deployment.wait_for("api", guide.deployment.info_answers)
        guide.deployment.wait_for_worker()
        guide.deployment.start_callbacks()
    return guide


def test_application_and_pipeline_answer_the_same(running: Guide) -> None:
    body = json.loads(marked("from_flask.rst", "send").text)
    shown = json.loads(marked("from_flask.rst", "answer").text)
    assert requests.post(f"{running.application}/predict", json=body, timeout=30).json() == shown
    assert running.deployment.predict(body).json() == shown


@pytest.mark.parametrize("rows", [[], [[1, 2, 3]], [[5.1, 3.5, 1.4, 0.2], []]])
def test_application_and_pipeline_refuse_the_same(running: Guide, rows: Any) -> None:
    body = {"rows": rows}
    refused = requests.post(f"{running.application}/predict", json=body, timeout=30)
    assert refused.status_code in (400, 422)
    answer = running.deployment.predict(body)
    assert (answer.status_code, answer.json()["title"]) == (400, "Bad input format")
    said = refused.json().get("error", "")
    assert answer.json()["description"] == said or refused.status_code == 422


def test_the_receiver_stores_what_is_called_back(running: Guide) -> None:
    body = json.loads(marked("callbacks.rst", "send").text)
    shown = commands(marked("callbacks.rst", "stored"))[0].output.split("|")
    assert running.called_back(body) == tuple(shown[1:])


def test_the_receiver_stores_failures_with_their_state(running: Guide) -> None:
    task_id, body = str(uuid4()), b'{"status":"FAILURE","result":{"args":[],"type":"KeyError"}}'
    assert running.deliver(task_id, body, **{"denzel-status": "FAILURE"}) == 204
    assert running.stored(task_id) == [("FAILURE", body.decode())]


def test_what_comes_twice_is_stored_once(running: Guide) -> None:
    task_id = str(uuid4())
    assert [running.deliver(task_id, b'{"classes":[1]}') for _ in range(3)] == [204] * 3
    assert running.stored(task_id) == [("SUCCESS", '{"classes":[1]}')]


@pytest.mark.parametrize(
    "forged",
    [
        {"secret": new_secret()},
        {"webhook-timestamp": str(int(time.time()) - 3600)},
        {"webhook-signature": "v1,c2lnbmVk"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": ""},
    ],
    ids=["other secret", "old", "other signature", "no form", "none"],
)
def test_what_is_not_signed_is_refused(running: Guide, forged: dict[str, str]) -> None:
    task_id = str(uuid4())
    assert running.deliver(task_id, b'{"classes":[1]}', **forged) == 400
    assert running.stored(task_id) == []
