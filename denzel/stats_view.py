"""How the figures of a deployment look in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from denzel.figures import Figures, Quantiles, Queue

BARS = "▁▂▃▄▅▆▇█"
KINDS = ("sync", "async")
NAME_WIDTH, COLUMN_WIDTH = 18, 26
MEBIBYTE = 2**20


def stats_lines(figures: Figures) -> list[str]:
    """Return the lines that show how a deployment does."""
    over = f"over {figures.seconds:.0f} s" if figures.seconds else "first look"
    queues = [figures.queues[kind] for kind in KINDS]
    return [
        click.style(_row(f"({over})", KINDS), bold=True),
        _row("predictions/s", (_rate(queue.rate) for queue in queues)),
        _row("failed/s", (_failures(queue) for queue in queues)),
        _row("queued", (_queued(queue) for queue in queues)),
        _row("being predicted", (str(queue.held) for queue in queues)),
        _row("time in queue", (_times(queue.queued) for queue in queues)),
        _row("time of a batch", (_times(queue.predicted) for queue in queues)),
        "",
        _row("last minute", [bars(figures.rates)]),
        *(_row("worker", [f"{each['name']} {each['state']}"]) for each in figures.workers),
        _row("undelivered", [_callbacks(figures)]),
        *_processes(figures),
        _row("Redis", [_redis(figures)]),
    ]


def bars(rates: Sequence[float]) -> str:
    """Return a small plot: a bar for each rate, and the highest of them."""
    highest = max(rates, default=0.0)
    if not highest:
        return "no predictions"
    heights = (round(rate / highest * (len(BARS) - 1)) for rate in rates)
    return "".join(BARS[height] for height in heights) + f"  {highest:.1f}/s at most"


def _row(name: str, cells: Iterable[str]) -> str:
    texts = [cell + " " * (COLUMN_WIDTH - len(click.unstyle(cell))) for cell in cells]
    return f"{name:<{NAME_WIDTH}}{''.join(texts)}".rstrip()


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1f}"


def _failures(queue: Queue) -> str:
    text = _rate(queue.failure_rate)
    return click.style(text, fg="red") if queue.failure_rate else text


def _queued(queue: Queue) -> str:
    waited = f" (oldest {_duration(queue.oldest_seconds)})" if queue.length else ""
    return f"{queue.length}{waited}"


def _times(times: Quantiles) -> str:
    if times.p50 is None or times.p95 is None:
        return "-"
    return f"{_duration(times.p50)}, p95 {_duration(times.p95)}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _callbacks(figures: Figures) -> str:
    return "callbacks: " + ", ".join(f"{n} {name}" for name, n in figures.callbacks.items())


def _processes(figures: Figures) -> Iterable[str]:
    for each in figures.processes:
        memory = each["memory_bytes"] / MEBIBYTE
        noun = "process" if each["processes"] == 1 else "processes"
        yield _row(each["service"], [f"{each['processes']} {noun}, {memory:.0f} MiB"])


def _redis(figures: Figures) -> str:
    used, limit = figures.redis_memory_bytes, figures.redis_memory_limit_bytes
    return f"{used / MEBIBYTE:.1f} MiB" + (f" of {limit / MEBIBYTE:.0f} MiB" if limit else "")
