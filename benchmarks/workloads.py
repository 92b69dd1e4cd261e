"""What is asked of the servers: a pipeline, one request, its answer, and who is asked."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.http_client import JSON
from denzel.templates import TEMPLATES

HERE = Path(__file__).parent
EXAMPLE = TEMPLATES / "examples" / "iris"
RESPOND_ASYNC = "respond-async"
OCTETS = "application/octet-stream"
WITHOUT_BATCHES = "\ndel predict_batch\n"
FLOWERS = {
    "a123": {"sepal-length": 4.6, "sepal-width": 3.6, "petal-length": 1.0, "petal-width": 0.2},
    "b456": {"sepal-length": 6.5, "sepal-width": 3.2, "petal-length": 5.1, "petal-width": 2.0},
}
SPECIES = {"a123": "Iris-setosa", "b456": "Iris-virginica"}
TEXT = "The quick brown fox jumps over the lazy dog. 0123456789"
IMAGE = base64.b64encode(random.Random(1).randbytes(768 * 1024)).decode()
"""1 MiB of text."""


@dataclass(frozen=True)
class Workload:
    """One pipeline under one kind of request.

    ``settings`` are lines of the denzel project's ``.env``, ``requirements`` a file with the
    model's libraries.  ``prefer`` is the request's Prefer header.  ``open_loop`` adds a run at
    half of what the side answered at 64 connections.  ``raw`` is the body where that is no JSON.
    """

    name: str
    title: str
    pipeline: Path
    request: dict[str, Any]
    answer: dict[str, Any]
    sides: tuple[str, ...]
    connections: tuple[int, ...] = (1, 64, 1000)
    prefer: str | None = None
    open_loop: bool = False
    assets: tuple[Path, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    requirements: Path = EXAMPLE / "requirements.txt"
    raw: bytes = b""

    @property
    def body(self) -> bytes:
        """The request's body."""
        return self.raw or json.dumps(self.request, separators=(",", ":")).encode()

    @property
    def content_type(self) -> str:
        """What the body is."""
        return OCTETS if self.raw else JSON

    def source(self, *, batches: bool) -> str:
        """Return the pipeline's code, without its predict_batch unless there are batches."""
        source = self.pipeline.read_text(encoding="utf-8")
        if not batches and "def predict_batch(" in source:
            source += WITHOUT_BATCHES
        return source


ALL_SIDES = (
    "denzel-batch", "denzel", "fastapi", "fastapi-batch", "litserve", "litserve-batch",
    "mosec", "mosec-batch",
)  # fmt: skip

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "iris",
            "the tutorial's classifier and its validation, two flowers a request",
            EXAMPLE / "app" / "logic" / "pipeline.py",
            {"data": FLOWERS},
            SPECIES,
            (*ALL_SIDES, "falcon", "celery"),
            open_loop=True,
            assets=(EXAMPLE / "app" / "assets" / "iris_svc.pkl",),
        ),
        Workload(
            "echo",
            "a model that does nothing",
            HERE / "pipelines" / "echo.py",
            {"data": TEXT},
            {"data": TEXT},
            ("denzel", "fastapi", "litserve", "mosec", "falcon"),
        ),
        Workload(
            "sleep10",
            "a model that takes 10 ms for any batch, in one model process on every side",
            HERE / "pipelines" / "sleep10.py",
            {"data": TEXT},
            {"data": TEXT},
            ALL_SIDES,
            connections=(1, 64),
            settings={"WORKER_CONCURRENCY": "1"},
        ),
        Workload(
            "large",
            "requests of 1 MiB, short answers",
            HERE / "pipelines" / "length.py",
            {"image": IMAGE},
            {"length": len(IMAGE)},
            ("denzel", "fastapi", "litserve", "mosec", "falcon"),
            connections=(1, 64),
        ),
        Workload(
            "accept",
            "echo with Prefer: respond-async, which denzel alone knows: accepted, then predicted",
            HERE / "pipelines" / "echo.py",
            {"data": TEXT},
            {"data": TEXT},
            ("denzel", "denzel-everysec", "fastapi"),
            prefer=RESPOND_ASYNC,
        ),
    )
}

GATE = Workload(
    "backlog",
    "asynchronous requests before a queue of 100,000",
    HERE / "pipelines" / "gate.py",
    {"data": TEXT},
    {"data": TEXT},
    ("denzel",),
    connections=(64,),
    prefer=RESPOND_ASYNC,
)
REDIS_FLOOR = "redis"
"""Not a server: round trips through lists of a bare Redis."""

NAMES = (*WORKLOADS, GATE.name, REDIS_FLOOR)
