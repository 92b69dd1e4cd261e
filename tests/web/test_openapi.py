"""The OpenAPI document is what the API does: Schemathesis, and a client made from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from runtime.deployment import Deployment
from runtime.service import bare_environment

PROGRAMS = Path(sys.executable).parent
CONFIG = Path(__file__).with_name("schemathesis.toml")
CLIENT_PROGRAM = """
import sys
from denzel_client import Client
from denzel_client.api.default import get_status, predict
from denzel_client.models import Accepted, Error, Flower, Prediction, PredictionRequest
from denzel_client.models import PredictionRequestData

def flowers(length):
    data = PredictionRequestData()
    data["a123"] = Flower(petal_length=length, petal_width=0.2)
    return PredictionRequest(data=data)

client = Client(sys.argv[1])
answer = predict.sync(client=client, body=flowers(1.0))
assert isinstance(answer, Prediction), answer
print(answer["a123"])
accepted = predict.sync(client=client, body=flowers(5.0), prefer="respond-async")
assert isinstance(accepted, Accepted), accepted
task = get_status.sync(str(accepted.data.task_id), client=client, wait=30)
print(task.status.value, task.result["a123"])
refused = predict.sync(client=client, body=flowers(-1.0))
assert isinstance(refused, Error), refused
print(refused.title, refused.path)
"""


def test_schemathesis_finds_nothing_that_contradicts_the_document(
    flowers: Deployment, tmp_path: Path
) -> None:
    done = subprocess.run(
        [PROGRAMS / "schemathesis", "--config-file", CONFIG, "run", f"{flowers.url}/openapi.json",
         "--max-examples", "25"],
        cwd=tmp_path, env=bare_environment(), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "API Links:    2 covered" in done.stdout, done.stdout


def test_a_generated_client_predicts(flowers: Deployment, tmp_path: Path) -> None:
    made = subprocess.run(
        [PROGRAMS / "openapi-python-client", "generate", "--url", f"{flowers.url}/openapi.json",
         "--meta", "none", "--output-path", "denzel_client"],
        cwd=tmp_path, env=bare_environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    assert "Warning" not in made.stdout, made.stdout
    done = subprocess.run(
        [sys.executable, "-c", CLIENT_PROGRAM, flowers.url],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Iris-setosa",
        "SUCCESS Iris-virginica",
        "Bad input format /data/a123/petal-length",
    ]
