"""How many processes and threads the worker runs a model with."""

from __future__ import annotations

import pytest

from app.runtime.pipeline.plan import own_copies, plan_processes
from app.runtime.settings import Settings, parse_settings


def settings(**values: str) -> Settings:
    """Return settings with these values."""
    return parse_settings(values)


@pytest.mark.parametrize(
    ("processors", "concurrency", "processes", "threads"),
    [(8, "auto", 8, 1), (8, "2", 2, 4), (8, "3", 3, 2), (8, "1", 1, 8), (2, "6", 6, 1)],
)
def test_a_shared_models_processes_have_the_processors_between_them(
    processors: int, concurrency: str, processes: int, threads: int
) -> None:
    plan = plan_processes(settings(WORKER_CONCURRENCY=concurrency), processors)
    assert (plan.processes, plan.threads, plan.shared) == (processes, threads, True)


@pytest.mark.parametrize(
    ("concurrency", "processes", "threads"), [("auto", 1, 8), ("2", 2, 4), ("8", 8, 1)]
)
def test_a_model_that_cannot_be_shared_is_held_once_unless_more_is_asked_for(
    concurrency: str, processes: int, threads: int
) -> None:
    plan = own_copies(settings(WORKER_CONCURRENCY=concurrency), 8, "why")
    assert (plan.processes, plan.threads, plan.shared) == (processes, threads, False)
    assert plan.summary.endswith(": why")


def test_model_sharing_can_be_ruled_out() -> None:
    plan = plan_processes(settings(MODEL_SHARING="none"), 8)
    assert (plan.processes, plan.threads, plan.shared) == (1, 8, False)
    assert "MODEL_SHARING=none" in plan.summary


@pytest.mark.parametrize(
    ("concurrency", "per_gpu", "processes"), [("auto", "1", 4), ("auto", "2", 8), ("2", "2", 2)]
)
def test_each_process_on_gpus_has_a_model(concurrency: str, per_gpu: str, processes: int) -> None:
    chosen = settings(GPU="1", WORKER_CONCURRENCY=concurrency, WORKERS_PER_GPU=per_gpu)
    plan = plan_processes(chosen, 8, gpus=4)
    assert (plan.processes, plan.threads, plan.shared) == (processes, 8 // processes, False)


def test_the_summary_is_a_sentence() -> None:
    shared = plan_processes(settings(), 6).summary
    assert shared == "6 processes with 1 thread each share one model"
    alone = own_copies(settings(), 2, "torch started 1 thread").summary
    assert alone == "1 process with 2 threads holds the model: torch started 1 thread"
    copies = own_copies(settings(WORKER_CONCURRENCY="2"), 2, "why").summary
    assert copies == "2 processes with 1 thread each have a copy of the model: why"
