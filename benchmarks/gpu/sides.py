"""The networks, and every way they are served in, all with batches."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import commands
from benchmarks.compare.trees import Tree
from benchmarks.environments import RUNTIME, environment
from benchmarks.sides import Job, Running, peer
from benchmarks.workloads import HERE, Workload

DENZEL = "denzel"
PIXELS = random.Random(1).randbytes(224 * 224 * 3)
REQUESTS: dict[str, dict[str, Any]] = {
    "resnet50": {"image": base64.b64encode(PIXELS).decode()},
    "encoder": {"tokens": random.Random(1).choices(range(30522), k=128)},
}
"""Each network, and what it is asked."""
ANSWER_SECONDS = 300.0
REQUIREMENTS = HERE / "requirements" / "gpu.txt"
PREPARERS = 4


@dataclass(frozen=True)
class Side:
    """A server in one configuration.

    ``settings`` are denzel's, ``workers`` the processes that have the model, ``options`` what a
    peer's script takes besides (``servers/``).
    """

    peer: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    options: tuple[str, ...] = ()

    def takes(self, workload: Workload) -> bool:
        """Tell whether it is asked for this: LitServe takes JSON and forms alone."""
        return not self.peer or bool(workload.raw) == ("raw" in self.options)

    def start(self, tree: Tree, job: Job, *, on_gpu: bool) -> AbstractContextManager[Running]:
        """Return the running side, to be entered."""
        if not self.peer:
            own = {"GPU": str(int(on_gpu)), "WORKERS_PER_GPU": str(self.workers)}
            return tree.started(job, batches=True, settings={**own, **self.settings})
        place = ("cuda" if on_gpu else "cpu",) if self.peer == "litserve" else ()
        options = (*place, str(self.workers), *self.options)
        return partial(peer(self.peer, batches=True, options=options), job)()


def sides(wait: float) -> dict[str, Side]:
    """Return every side by its name; ``wait`` is that of the others, in seconds."""
    same_wait = {"BATCH_MAX_WAIT": f"{wait:g}"}
    return {
        DENZEL: Side(),
        "denzel, same wait": Side(settings=same_wait),
        "denzel, 2 processes": Side(workers=2),
        "denzel, batches of 8": Side(settings={"BATCH_MAX_SIZE": "8"}),
        "denzel, batches of 1": Side(settings={"BATCH_MAX_SIZE": "1"}),
        "LitServe": Side("litserve"),
        "LitServe, fast queue": Side("litserve", options=("fast",)),
        "LitServe, 2 processes": Side("litserve", workers=2, options=("fast",)),
        "Mosec": Side("mosec", options=("0",)),
        "Mosec, 2 processes": Side("mosec", workers=2, options=("0",)),
        f"Mosec, {PREPARERS} that prepare": Side("mosec", options=(str(PREPARERS),)),
        "Mosec, bytes": Side("mosec", options=("0", "raw")),
        f"Mosec, bytes, {PREPARERS} that prepare": Side("mosec", options=(str(PREPARERS), "raw")),
    }


def workloads(network: str, cache: Path, directory: Path) -> list[Workload]:
    """Return what is asked of one network, whose servers answer all of it."""
    pipeline = HERE / "pipelines" / f"{network}.py"
    request = REQUESTS[network]
    file = directory / "request.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    python = environment(RUNTIME, cache, REQUIREMENTS) / "bin" / "python"
    argv = [str(python), str(HERE / "gpu" / "answer.py"), str(pipeline), str(file)]
    answer = json.loads(commands.run(argv, timeout=ANSWER_SECONDS))
    workload = Workload(network, network, pipeline, request, answer, (), requirements=REQUIREMENTS)
    if network != "resnet50":
        return [workload]
    return [workload, replace(workload, name=f"{network}-bytes", raw=PIXELS)]
