"""Start a deployment whose pipeline imports a large library, which takes a while."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import pytest
import requests

from runtime.deployment import Deployment

START_SECONDS = 180.0
RUN_SECONDS = 300.0
CLIENTS = 16


def need(*packages: str) -> None:
    """Skip a test where one of the packages it needs is not installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; `tox -e models` installs all")


def start(deployment: Deployment) -> None:
    """Start Redis, the worker and the API, and wait until they are up."""
    deployment.start_redis()
    worker = deployment.start_worker_unready()
    deployment.start_api(wait=False)
    deployment.wait(
        lambda: deployment.state("worker")[0] in ("UP", "ERROR") or not worker.is_running(),
        "the worker has loaded its model",
        START_SECONDS,
    )
    assert deployment.state("worker")[0] == "UP", (
        f"{deployment.state('worker')}\n{deployment.output()}"
    )
    deployment.wait(lambda: answers(deployment), "the API answers", START_SECONDS)


def run(deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program, which may import a large library, in a deployment's directory."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=deployment.directory, env={**deployment.environment, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS,
    )  # fmt: skip


def answers(deployment: Deployment) -> bool:
    """Tell whether the API answers; while it imports the pipeline it does not."""
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{deployment.url}/info", timeout=60).ok
    return False


def predicted(deployment: Deployment, body: Any) -> dict[str, Any]:
    """Return the prediction for a request."""
    answer = deployment.predict(body, Prefer="wait=50")
    assert answer.status_code == 200, f"{answer.text}\n{deployment.output()}"
    return dict(answer.json())


def predicted_each(deployment: Deployment, bodies: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the predictions for many requests that are sent by several clients at a time."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        return list(clients.map(lambda body: predicted(deployment, body), bodies))
