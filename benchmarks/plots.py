"""Plots of what was measured: throughput and latency against connections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.records import Load, Results
from benchmarks.sides import TITLES
from benchmarks.summary import Spread
from benchmarks.targets import closed

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

FORMATS = ("png", "svg")
COLOURS = {
    "denzel": "#c0392b", "fastapi": "#16a085", "litserve": "#8e44ad", "mosec": "#2c6fbb",
    "denzel-everysec": "#e67e22", "falcon": "#7f8c8d", "celery": "#b7950b",
}  # fmt: skip
SIZE_INCHES = (10.0, 4.6)
DPI = 110


def plot_workload(results: Results, workload: str, folder: Path) -> list[Path]:
    """Draw one workload; return the files, none when nothing of it was measured."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "denzel", "svg.fonttype": "none"})
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, LogLocator

    samples = [each for each in results.samples if each.workload == workload and not each.offered]
    sides = list(dict.fromkeys(each.side for each in samples))
    connections = sorted({each.connections for each in samples})
    if not sides or len(connections) < 2:
        return []
    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=SIZE_INCHES, layout="constrained")
    for side in sides:
        style = _style(side)
        _draw(rates, results, workload, side, connections, lambda load: load.rps, style)
        _draw(latencies, results, workload, side, connections, lambda load: load.p50, style)
        _draw(
            latencies, results, workload, side, connections, lambda load: load.p99,
            {**style, "linestyle": ":", "label": None},
        )  # fmt: skip
    rates.set_ylabel("answers a second")
    latencies.set_ylabel("latency in ms: p50, and p99 dotted")
    for axes in (rates, latencies):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(connections, [str(each) for each in connections])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.minorticks_off()
        axes.set_xlabel("connections")
        axes.grid(visible=True, alpha=0.3)
    figure.suptitle(workload)
    figure.legend(*rates.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    files = [folder / f"performance_{workload}.{extension}" for extension in FORMATS]
    for file in files:
        figure.savefig(file, dpi=DPI, metadata={"Date": None} if file.suffix == ".svg" else None)
    pyplot.close(figure)
    return files


def _style(side: str) -> dict[str, object]:
    batches = side.endswith("-batch")
    family = side.removesuffix("-batch")
    return {
        "color": COLOURS.get(family, "black"),
        "marker": "s" if batches else "o",
        "markersize": 5,
        "linestyle": "-" if batches else "--" if family in ("falcon", "celery") else "-.",
        "linewidth": 2.4 if family == "denzel" else 1.3,
        "label": TITLES.get(side, side),
    }


def _draw(
    axes: Axes, results: Results, workload: str, side: str, connections: list[int],
    value: Callable[[Load], float], style: dict[str, object],
) -> None:  # fmt: skip
    """Draw the medians, with the range of the repeats as bars."""
    points = []
    for each in connections:
        spread = Spread.of(closed(workload, side, each, value)(results).values())
        if spread is not None and spread.median > 0:
            points.append((each, spread))
    if not points:
        return
    medians = [spread.median for _, spread in points]
    below = [spread.median - spread.low for _, spread in points]
    above = [spread.high - spread.median for _, spread in points]
    positions = [each for each, _ in points]
    axes.errorbar(positions, medians, yerr=[below, above], capsize=2, **style)  # type: ignore[arg-type]
