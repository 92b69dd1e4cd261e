"""What several processes with one model need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.deployment import deployed

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


def proportional_bytes(group: int) -> int:
    """Return the memory of all processes of a group, what is shared counted once (PSS)."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        if int(fields[2]) == group:
            text = (stat.parent / "smaps_rollup").read_text(encoding="ascii")
            total += sum(int(size) * 1024 for size in re.findall(r"^Pss: +(\d+)", text, re.M))
    return total


def test_six_processes_share_an_array_of_a_gibibyte(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    with deployed(tmp_path, PIPELINE, {"WORKER_CONCURRENCY": "6"}) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        pids = set()
        for row in range(60):
            answer = deployment.predict({"row": row}, Prefer="wait=50").json()
            assert answer["sum"] > 134_000
            pids.add(answer["pid"])
        assert len(pids) > 1
        assert proportional_bytes(deployment.services["denzel"].pid) < 1.3 * GIB
