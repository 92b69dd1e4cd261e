"""What comes in over HTTP or through Redis is never unpickled."""

from __future__ import annotations

import base64
import json
import os
import pickle
from pathlib import Path
from uuid import uuid4

import pytest
import redis
import requests

from .deployment import Deployment


def predicts(deployment: Deployment) -> bool:
    """Tell whether predictions are made whatever API process is asked."""
    return all(deployment.predict({"value": 1}, Prefer="wait=20").ok for _ in range(6))


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        """Have whoever unpickles this write a file."""
        return (os.system, (f"touch {self.trace}",))


@pytest.mark.parametrize("content_type", ["application/x-python-serialize", "pickle"])
def test_nothing_that_comes_through_redis_is_unpickled(
    lab: Deployment, tmp_path: Path, content_type: str
) -> None:
    trace = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(trace))
    headers = {"task": "app.tasks.invoke_predict", "id": str(uuid4()), "lang": "py"}
    envelope = {
        "body": base64.b64encode(bomb).decode(),
        "content-type": content_type,
        "content-encoding": "binary",
        "headers": headers,
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
            "delivery_info": {"exchange": "", "routing_key": "predictions"},
        },
    }
    with redis.Redis.from_url(lab.environment["REDIS_URL"]) as client:
        client.lpush("predictions", json.dumps(envelope))
        for channel in client.pubsub_channels("*"):
            client.publish(channel, json.dumps(envelope))
    lab.wait(lambda: predicts(lab), "predictions are made", 20)
    accepted = lab.accept({"value": "after"})
    assert lab.final_status(accepted)["result"] == {"echo": "after"}
    assert requests.get(f"{lab.monitor_url}/workers", timeout=10).ok
    assert not trace.exists()


def test_a_pickle_sent_over_http_is_no_json(lab: Deployment, tmp_path: Path) -> None:
    trace = tmp_path / "exploded"
    answer = requests.post(f"{lab.url}/predict", data=pickle.dumps(Bomb(trace)), timeout=10)
    assert answer.status_code == 400
    assert not trace.exists()
