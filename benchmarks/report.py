"""Tables of what was measured, for a terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.records import Backlog, Results, Sample
from benchmarks.sides import TITLES
from benchmarks.summary import Spread
from benchmarks.targets import TARGETS, Target
from benchmarks.workloads import REDIS_FLOOR, WORKLOADS

ABSENT = "–"
FIGURE = """\
.. figure:: _static/performance_{workload}.svg
   :alt: Answers a second, and latency, of each side against the number of connections

   {workload}: medians; bars show the lowest and the highest run.
"""
STARTS_SHOWN = ("iris", "echo")
VERDICTS = {True: "met", False: "missed", None: ""}

Item = TypeVar("Item")
Key = TypeVar("Key")


@dataclass(frozen=True)
class Table:
    """A title, the columns' names, and rows of text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(results: Results) -> list[Table]:
    """Return every table there are figures for."""
    made = [target_table(results)]
    made += [load_table(results, name) for name in WORKLOADS]
    made += [open_loop_table(results), redis_table(results), backlog_table(results)]
    made += [start_table(results)]
    return [table for table in made if table.rows]


def target_table(results: Results) -> Table:
    """Return the ratios beside what they are to be."""
    rows = []
    workload = ""
    for target in TARGETS:
        workload = target.workload or workload
        spread = target.spread(results)
        if spread is not None:
            verdict = VERDICTS[target.is_met(spread)]
            rows.append([workload, target.text, _bound(target), spread.text(".2f"), verdict])
    return Table("Targets", ["Workload", "Ratio", "Target", "Measured", ""], rows)


def load_table(results: Results, workload: str) -> Table:
    """Return one workload's sides under each closed loop."""
    samples = [each for each in results.samples if each.workload == workload and not each.offered]
    rows = []
    for (side, connections), group in _grouped(samples, lambda s: (s.side, s.connections)):
        rows.append(
            [
                TITLES.get(side, side),
                str(connections),
                _spread(group, lambda s: s.load.rps, ",.0f"),
                _spread(group, lambda s: s.load.p50, ".2f"),
                _spread(group, lambda s: s.load.p99, ".2f"),
                _spread(group, lambda s: s.cpu_ms, ".2f"),
                _unanswered(group),
            ]
        )
    head = ["Side", "Connections", "Answers/s", "p50 ms", "p99 ms", "CPU ms", "Errors"]
    title = f"{workload}: {WORKLOADS[workload].title}"
    return Table(title, head, rows)


def open_loop_table(results: Results) -> Table:
    """Return what clients see that know nothing of one another, at half of capacity."""
    samples = [each for each in results.samples if each.offered]
    rows = [
        [
            TITLES.get(side, side),
            _spread(group, lambda s: s.offered, ",.0f"),
            _spread(group, lambda s: s.load.p50, ".2f"),
            _spread(group, lambda s: s.load.p99, ".2f"),
            _spread(group, lambda s: s.cpu_ms, ".2f"),
            _spread(group, lambda s: s.late, ".2f"),
            _unanswered(group),
        ]
        for (_, side), group in _grouped(samples, lambda s: (s.workload, s.side))
    ]
    head = ["Side", "Requests/s", "p50 ms", "p99 ms", "CPU ms", "Generator late, p99 ms", "Errors"]
    return Table("iris, open loop at half of each side's own capacity", head, rows)


def redis_table(results: Results) -> Table:
    """Return the bare round trips through Redis."""
    samples = [each for each in results.samples if each.workload == REDIS_FLOOR]
    rows = [
        [
            str(connections),
            _spread(group, lambda s: s.load.rps, ",.0f"),
            _spread(group, lambda s: s.load.p50, ".2f"),
            _spread(group, lambda s: s.load.p99, ".2f"),
        ]
        for connections, group in _grouped(samples, lambda s: s.connections)
    ]
    head = ["Clients", "Round trips/s", "p50 ms", "p99 ms"]
    return Table("floor: a list in Redis to another process, and a list back", head, rows)


def backlog_table(results: Results) -> Table:
    """Return denzel with a long queue beside denzel with a short one."""
    found = results.backlogs
    if not found:
        return Table("", [], [])

    def spread(value: Callable[[Backlog], float], form: str) -> str:
        made = Spread.of(map(value, found))
        return made.text(form) if made else ABSENT

    queued = max(each.queued for each in found)
    payload = found[0].payload_bytes
    rows = [
        ["Accepted/s", spread(lambda b: b.accepted_when_empty, ",.0f"),
         spread(lambda b: b.accepted_when_full, ",.0f")],
        ["Predicted/s", spread(lambda b: b.predicted_when_empty, ",.0f"),
         spread(lambda b: b.predicted_when_full, ",.0f")],
        [f"Redis memory a request of {payload} bytes", ABSENT,
         spread(lambda b: b.redis_bytes_per_request, ",.0f") + " bytes"],
    ]  # fmt: skip
    head = ["", "Short queue", f"Queue of {queued:,}"]
    return Table("backlog: asynchronous requests before a long queue", head, rows)


def start_table(results: Results) -> Table:
    """Return start time and memory of each side."""
    shown = [each for each in results.starts if each.workload in STARTS_SHOWN]
    rows = [
        [
            workload,
            TITLES.get(side, side),
            str(group[0].processes),
            _spread(group, lambda s: s.seconds, ".1f"),
            _spread(group, lambda s: s.idle_pss, ".0f"),
            _spread(group, lambda s: s.idle_rss, ".0f"),
            _spread(group, lambda s: s.loaded_pss, ".0f"),
            _spread(group, lambda s: s.loaded_rss, ".0f"),
            _spread(group, lambda s: s.idle_cpu_percent, ".1f"),
        ]
        for (workload, side), group in _grouped(shown, lambda s: (s.workload, s.side))
    ]
    head = [
        "Workload", "Side", "Processes", "Start s", "Idle PSS MiB", "Idle RSS MiB",
        "PSS after MiB", "RSS after MiB", "Idle CPU %",
    ]  # fmt: skip
    return Table("Start time and memory, all processes of a side", head, rows)


def as_text(table: Table) -> str:
    """Return a table as columns of text."""
    lines = [list(table.head), *map(list, table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.head))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    return "\n".join([table.title, *(line.rstrip() for line in shown), ""])


def as_rst(table: Table) -> str:
    """Return a table as reStructuredText."""
    lines = [f".. list-table:: {table.title}", "   :header-rows: 1", ""]
    for row in (table.head, *table.rows):
        for number, cell in enumerate(row):
            lines.append(f"   {'* -' if number == 0 else '  -'} {cell}".rstrip())
    return "\n".join([*lines, ""])


def describe(sample: Sample) -> str:
    """Return a sample as one line."""
    load = sample.load
    how = (
        f"c{sample.connections}"
        if sample.offered is None or sample.late is None
        else f"open loop at {sample.offered:.0f}/s (late {sample.late:.2f} ms)"
    )
    cpu = "" if sample.cpu_ms is None else f", {sample.cpu_ms:.2f} ms CPU each"
    bad = f", {load.refused} refused, {load.failed} failed" if load.refused or load.failed else ""
    return f"{how}: {load.rps:.0f}/s, p50 {load.p50:.2f} ms, p99 {load.p99:.2f} ms{cpu}{bad}"


def conditions(results: Results) -> str:
    """Return where and how it was measured, as a reStructuredText field list."""
    fields = {**results.machine, **{key: str(value) for key, value in results.options.items()}}
    return "\n".join([f":{name}: {value}" for name, value in fields.items()] + [""])


def documentation(results: Results, plotted: Sequence[str]) -> str:
    """Return the generated part of the documentation's page; plots are in ``_static``."""
    note = ".. Made by `python -m benchmarks`; edit the code in benchmarks/ instead.\n"
    made = [as_rst(table) for table in tables(results)]
    made[1:1] = [FIGURE.format(workload=workload) for workload in plotted]
    failed = [f"* {line.splitlines()[0]}" for line in results.failures]
    if failed:
        made.append("\n".join(["Not measured:", "", *failed, ""]))
    figures = "All figures: :download:`performance.json <_static/performance.json>`.\n"
    return "\n".join([note, conditions(results), *made, figures])


def _bound(target: Target) -> str:
    if target.required is None:
        return ABSENT
    return f"{'≥' if target.at_least else '≤'} {target.required:g}"


def _grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> list[tuple[Key, list[Item]]]:
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())


def _spread(group: Sequence[Item], value: Callable[[Item], float | None], form: str) -> str:
    made = Spread.of(found for found in map(value, group) if found is not None)
    return made.text(form) if made else ABSENT


def _unanswered(group: Sequence[Sample]) -> str:
    return str(sum(each.load.refused + each.load.failed for each in group))
