"""EXAMPLE: each worker process predicts it before the worker says that it is UP."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from .deployment import Deployment, deployed

WARMING = """
import json, os, time
from pathlib import Path

EXAMPLE = {"seconds": 0.5, "warm": True}

def note(event):
    with Path("trace.jsonl").open("a") as trace:
        trace.write(json.dumps({"event": event, "pid": os.getpid()}) + "\\n")

async def verify_input(json_data):
    return json_data

def load_model():
    note("load")

def process(model, json_data):
    time.sleep(json_data["seconds"])
    return json_data

def predict(model, data):
    note("warm" if data.get("warm") else "predict")
    return {"pid": os.getpid()}
"""


def warmed(deployment: Deployment) -> set[int]:
    """Return the processes that have predicted EXAMPLE."""
    return {note["pid"] for note in deployment.trace("warm")}


@pytest.mark.parametrize("sharing", ["auto", "none"])
def test_every_process_predicts_the_example_before_the_worker_is_up(
    tmp_path: Path, sharing: str
) -> None:
    settings = {"WORKER_CONCURRENCY": "2", "MODEL_SHARING": sharing}
    pipeline = WARMING.replace("async def", "def")
    with deployed(tmp_path, pipeline, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker()
        assert len(warmed(deployment)) == 2
        assert len(deployment.trace("load")) == (1 if sharing == "auto" else 2)
        assert deployment.services["denzel"].pid not in warmed(deployment)
        deployment.start_api()
        assert deployment.predict({"seconds": 0}).json()["pid"] in warmed(deployment)
        victim = warmed(deployment).pop()
        os.kill(victim, signal.SIGKILL)
        deployment.wait(lambda: len(warmed(deployment)) == 3, "the one that replaces it warms up")
        deployment.wait(lambda: deployment.state("worker")[0] == "UP", "the worker is UP again")


ANSWER = 'return {"pid": os.getpid()}'
FAILING = {
    "predict": (ANSWER, "return {}[0]", "EXAMPLE fails in predict: KeyError: 0"),
    "result": (ANSWER, 'return {"a": {1}}', 'result["a"] is a set'),
    "verify_input": ("return json_data\n\ndef load", "pass\n\ndef load", "verify_input returned"),
    "kind": ('EXAMPLE = {"seconds": 0.5, "warm": True}', "EXAMPLE = []", "EXAMPLE must be a dict"),
}


@pytest.mark.parametrize("name", FAILING)
def test_an_example_that_fails_is_an_error_with_its_reason(tmp_path: Path, name: str) -> None:
    before, after, reason = FAILING[name]
    assert before in WARMING
    with deployed(tmp_path, WARMING.replace(before, after)) as deployment:
        deployment.start_redis()
        deployment.start_worker_unready()
        deployment.wait(lambda: deployment.state("worker")[0] == "ERROR", "the worker says ERROR")
        assert reason in deployment.state("worker")[1]
        assert reason in (tmp_path / "logs" / "worker.log").read_text(encoding="utf-8")
