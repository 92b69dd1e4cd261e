"""What several processes with one model need."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runtime.deployment import Deployment, deployed

PIPELINE = """
import os
import numpy as np

def verify_input(json_data):
    return json_data

def load_model():
    return np.ones(2**27)  # 1 GiB

def process(model, json_data):
    return json_data["row"]

def predict(model, row):
    return {"sum": model[row::1000].sum(), "pid": os.getpid()}
"""
GIB = 2**30
CLIENTS = 60


def proportional_bytes(group: int) -> int:
    """Return the memory of all processes of a group, what is shared counted once (PSS)."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        if int(fields[2]) == group:
            text = (stat.parent / "smaps_rollup").read_text(encoding="ascii")
            total += sum(int(size) * 1024 for size in re.findall(r"^Pss: +(\d+)", text, re.M))
    return total


def ask(deployment: Deployment, row: int) -> dict[str, Any]:
    """Return the prediction for a row."""
    return dict(deployment.predict({"row": row}, Prefer="wait=50").json())


def test_six_processes_share_an_array_of_a_gibibyte(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    with deployed(tmp_path, PIPELINE, {"WORKER_CONCURRENCY": "6"}) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        pids: set[int] = set()

        def all_have_predicted() -> bool:
            with ThreadPoolExecutor(CLIENTS) as clients:
                for answer in clients.map(lambda row: ask(deployment, row), range(CLIENTS)):
                    assert answer["sum"] > 134_000
                    pids.add(answer["pid"])
            return len(pids) > 1

        deployment.wait(all_have_predicted, "several processes have predicted", 60)
        assert proportional_bytes(deployment.services["denzel"].pid) < 1.3 * GIB
