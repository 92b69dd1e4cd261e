"""How figures look."""

from __future__ import annotations

import click

from denzel.figures import Figures, Quantiles, Queue
from denzel.stats_view import bars, stats_lines

BUSY = Queue(12, 1.25, 2, 556.94, 0.5, Quantiles(0.001, 0.0441), Quantiles(1.5, 2.25))
IDLE = Queue(0, 0.0, 0, None, None, Quantiles(), Quantiles())


def test_figures_fit_a_small_terminal() -> None:
    figures = Figures(
        seconds=19.4,
        queues={"sync": BUSY, "async": IDLE},
        rates=[0.0, 7.0],
        workers=[{"name": "worker@iris", "state": "UP"}],
        callbacks={"pending": 1, "failed": 0},
        processes=[{"service": "denzel", "processes": 3, "memory_bytes": 3 * 2**20}],
        redis_memory_bytes=2**20,
        redis_memory_limit_bytes=2**31,
    )
    lines = [click.unstyle(line) for line in stats_lines(figures)]
    assert lines == [
        "(over 19 s)       sync                      async",
        "predictions/s     556.9                     -",
        "failed/s          0.5                       -",
        "queued            12 (oldest 1.2 s)         0",
        "being predicted   2                         0",
        "time in queue     1.0 ms, p95 44.1 ms       -",
        "time of a batch   1.5 s, p95 2.2 s          -",
        "",
        "last minute       ▁█  7.0/s at most",
        "worker            worker@iris UP",
        "undelivered       callbacks: 1 pending, 0 failed",
        "denzel            3 processes, 3 MiB",
        "Redis             1.0 MiB of 2048 MiB",
    ]


def test_the_first_look_keeps_to_its_column() -> None:
    figures = Figures(
        seconds=0.0, queues={"sync": IDLE, "async": IDLE}, rates=[], workers=[], callbacks={},
        processes=[], redis_memory_bytes=0, redis_memory_limit_bytes=0,
    )  # fmt: skip
    heading = click.unstyle(stats_lines(figures)[0])
    assert heading == "(first look)      sync                      async"


def test_without_predictions_there_is_no_plot() -> None:
    assert bars([]) == bars([0.0, 0.0]) == "no predictions"
