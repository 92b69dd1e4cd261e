"""The code of docs/client.rst and the requests of docs/endpoints.rst, to the iris example."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.runtime.callbacks.signing import new_secret, parse_secrets, signature_headers
from documents import Block, blocks, commands

from .deployment import Deployment, deployed
from .template import TEMPLATE

DOCS = Path(__file__).parents[2] / "docs"
IRIS = TEMPLATE.parent / "examples" / "iris"
TASK = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHOWN = "http://localhost:8000"


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("iris")
    with deployed(directory, None) as deployment:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(IRIS, directory, ignore=ignore, dirs_exist_ok=True)
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        yield deployment


def holding(page: str, text: str) -> Block:
    """Return the one block of a page with a text."""
    (found,) = [block for block in blocks(DOCS / page) if text in block.text]
    return found


def executed(deployment: Deployment, text: str) -> dict[str, Any]:
    """Run the page's code that holds a text; return what it defines."""
    names: dict[str, Any] = {}
    exec(holding("client.rst", text).text.replace(SHOWN, deployment.url), names)
    return names


def typed(deployment: Deployment, command: str) -> str:
    """Type a command of a page in the project's directory; return what it prints."""
    done = subprocess.run(
        ["bash", "-c", f"{command.replace(SHOWN, deployment.url)} --silent --show-error --fail"],
        cwd=deployment.directory, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_predicts_and_waits_for_a_task(iris: Deployment) -> None:
    names = executed(iris, "client.submit(")
    shown = re.search(r"# (\{.+\})", holding("client.rst", "client.submit(").text)
    assert shown
    assert iris.final_status(names["task"])["result"] == json.loads(shown[1])


def test_many_requests_are_gathered(iris: Deployment) -> None:
    flowers = json.loads((IRIS / "request.json").read_text(encoding="utf-8"))
    answers = asyncio.run(executed(iris, "asyncio.gather")["predict_all"]([flowers] * 20))
    assert answers == [{"a123": "Iris-setosa", "b456": "Iris-virginica"}] * 20


def test_a_callback_is_verified_before_it_is_stored(iris: Deployment) -> None:
    stored: list[Any] = []
    names = executed(iris, "verify_callback(")
    names |= {"CALLBACK_SECRET": new_secret(), "store": lambda *values: stored.append(values)}
    body = b'{"a123":"Iris-setosa"}'
    secrets = parse_secrets(names["CALLBACK_SECRET"])
    receive = eval("receive", names)
    headers = signature_headers(secrets, "task-1", int(time.time()), body)
    assert receive(headers, body) == 200
    assert receive(headers, body + b" ") == 400
    assert stored == [("task-1", "SUCCESS", {"a123": "Iris-setosa"})]


def test_curl_is_answered_as_the_page_shows(iris: Deployment) -> None:
    page = [block for block in blocks(DOCS / "endpoints.rst") if block.language == "console"]
    found = [
        each.text for block in page for each in commands(block) if each.text.startswith("curl")
    ]
    info, predict, status, with_key = found
    assert typed(iris, info) == (IRIS / "app/assets/info.txt").read_text(encoding="utf-8")
    for command in (predict, with_key):
        assert json.loads(typed(iris, command)) == json.loads(
            holding("endpoints.rst", '{"a123": "Iris-setosa", "b456": "Iris-virginica"}\n').text
        )
    task_id = iris.accept(json.loads((IRIS / "request.json").read_text(encoding="utf-8")))
    answer = json.loads(typed(iris, TASK.sub(task_id, status)))
    assert answer["status"] == "SUCCESS"
