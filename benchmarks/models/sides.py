"""The models, and every way they are served in."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import commands
from benchmarks.compare.trees import Tree
from benchmarks.environments import RUNTIME, environment
from benchmarks.sides import Job, Running, peer
from benchmarks.workloads import HERE, Workload

DEFAULTS = "denzel"
PEERS = ("litserve", "mosec")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip
TRAINING_SECONDS = 600.0


@dataclass(frozen=True)
class Model:
    """A model by name; ``pipeline`` and ``train_NAME.py`` belong to it."""

    name: str
    title: str
    pipeline: str

    @property
    def requirements(self) -> Path:
        """Its libraries."""
        return HERE / "requirements" / f"{self.name}.txt"

    def trained(self, cache: Path) -> Workload:
        """Return the workload; the model is made once and kept in the cache."""
        python = environment(RUNTIME, cache, self.requirements) / "bin" / "python"
        directory = cache / f"model-{self.name}"
        if not (directory / "answer.json").exists():  # it is written last
            directory.mkdir(parents=True, exist_ok=True)
            argv = [str(python), "-m", f"benchmarks.models.train_{self.name}", str(directory)]
            commands.run(argv, cwd=HERE.parent, timeout=TRAINING_SECONDS)
        return Workload(
            self.name,
            self.title,
            HERE / "pipelines" / self.pipeline,
            json.loads((directory / "request.json").read_text(encoding="utf-8")),
            json.loads((directory / "answer.json").read_text(encoding="utf-8")),
            (),
            assets=(directory / "model",),
            requirements=self.requirements,
        )


MODELS = {
    model.name: model
    for model in (
        Model("lightgbm", "LightGBM, 200 rounds of 10 classes", "lightgbm_digits.py"),
        Model("cnn", "a convolutional network in PyTorch, 64 × 64", "cnn_digits.py"),
    )
}


def grid() -> dict[str, dict[str, str]]:
    """Return denzel's settings for each sensible number of processes and of threads.

    Powers of two up to the processors, and the processors themselves.
    """
    processors = len(os.sched_getaffinity(0))
    counts = sorted({processors, *(2**n for n in range(processors.bit_length()))})
    counts = [count for count in counts if count <= processors]
    return {
        f"{DEFAULTS} {processes}×{threads}": {
            "WORKER_CONCURRENCY": str(processes),
            **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        }
        for processes in counts
        for threads in counts
    }


def sides() -> list[str]:
    """Return every side's name."""
    return [DEFAULTS, *grid(), *PEERS, *(f"{name}-batch" for name in PEERS)]


def start(side: str, tree: Tree, job: Job) -> AbstractContextManager[Running]:
    """Return the side, to be entered."""
    if side.startswith(DEFAULTS):
        begin = partial(tree.started, job, batches=True)
        return begin(settings=grid().get(side, {}))
    name, _, batches = side.partition("-")
    return peer(name, batches=bool(batches))(job)
