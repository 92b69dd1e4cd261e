"""What is asked of which side, and how the figures stand beside each other."""

import json
from dataclasses import replace
from pathlib import Path

from benchmarks.gpu.sides import DENZEL, REQUESTS, sides
from benchmarks.gpu.tables import workload_table
from benchmarks.records import Load, Results, Sample
from benchmarks.workloads import OCTETS, Workload

JSON_WORKLOAD = Workload("resnet50", "", Path("pipeline.py"), REQUESTS["resnet50"], {}, ())


def sample(side: str, repeat: int, connections: int, rps: int, p50: float = 1.0) -> Sample:
    load = Load(requests=rps, seconds=1.0, p50=p50, p90=2.0, p99=3.0, max=4.0)
    return Sample("resnet50", side, repeat, connections, load, cpu_ms=0.5)


def test_each_row_has_the_load_of_many_and_of_one_alone() -> None:
    samples = [
        sample(DENZEL, 0, 64, 200), sample(DENZEL, 0, 1, 90, p50=7.0),
        sample("Mosec", 0, 64, 100), sample("Mosec", 0, 1, 80, p50=5.0),
        sample(DENZEL, 1, 64, 300), sample("Mosec", 1, 64, 400),
    ]  # fmt: skip
    rows = workload_table(Results(samples=samples), "resnet50").rows
    assert [(row[0], row[-2], row[-1]) for row in rows] == [
        (DENZEL, "–", "7.00"),
        ("Mosec", "1.38 (0.75–2.00)", "5.00"),
    ]


def test_bytes_are_asked_only_of_those_that_take_them() -> None:
    as_bytes = replace(JSON_WORKLOAD, raw=b"\x00\xff")
    assert (as_bytes.body, as_bytes.content_type) == (b"\x00\xff", OCTETS)
    assert json.loads(JSON_WORKLOAD.body) == REQUESTS["resnet50"]
    every = sides(0.005)
    assert every[DENZEL].takes(as_bytes)
    assert every[DENZEL].takes(JSON_WORKLOAD)
    assert not every["LitServe"].takes(as_bytes)
    assert not every["Mosec, bytes"].takes(JSON_WORKLOAD)
    assert every["Mosec, bytes"].takes(as_bytes)
