"""The ratios are those of neighbours, and medians are shown with their range."""

from pathlib import Path

import pytest

from benchmarks.compare.rounds import BASELINE, CANDIDATE, MOSEC, NOTHING
from benchmarks.compare.tables import (
    generator_table,
    load_name,
    mosec_table,
    tables,
    version_table,
)
from benchmarks.records import Load, Overload, Results, Sample
from benchmarks.summary import divided


def sample(
    side: str, repeat: int, rps: float, *, workload: str = "iris", offered: float | None = None
) -> Sample:
    """Return one second of a load."""
    load = Load(requests=int(rps), seconds=1.0, p50=1000 / rps, p90=2.0, p99=3.0, max=4.0)
    connections = 64 if offered is None else 0
    return Sample(workload, side, repeat, connections, load, cpu_ms=0.5, offered=offered, late=0.1)


def test_a_ratio_is_taken_within_a_round() -> None:
    results = Results(
        samples=[
            sample(BASELINE, 0, 100), sample(CANDIDATE, 0, 300),
            sample(BASELINE, 1, 1000), sample(CANDIDATE, 1, 1000),
            sample(BASELINE, 2, 500), sample(CANDIDATE, 2, 250),
        ]
    )  # fmt: skip
    assert list(version_table(results).rows[0]) == [
        "iris", "c64", "answers/s", "500 (100–1,000)", "300 (250–1,000)", "1.00 (0.50–3.00)",
    ]  # fmt: skip


def test_a_round_with_one_side_alone_has_no_ratio() -> None:
    assert divided({0: 1.0, 1: 2.0}, {1: 4.0, 2: 8.0}) == {1: 0.5}
    assert divided({0: 1.0}, {0: 0.0}) == {}


def test_an_open_loop_shows_latencies_and_no_rate() -> None:
    results = Results(
        samples=[sample(side, 0, 200, offered=200.0) for side in (BASELINE, CANDIDATE)]
    )
    assert [row[2] for row in version_table(results).rows] == ["p50 ms", "p99 ms", "CPU ms each"]


def test_errors_are_shown_where_there_are_any() -> None:
    bad = Load(requests=10, seconds=1.0, p50=1, p90=1, p99=1, max=1, refused=2, failed=3)
    results = Results(samples=[Sample("iris", CANDIDATE, 0, 64, bad)])
    assert list(version_table(results).rows[-1]) == ["", "", "errors", "–", "5", "–"]


def test_mosec_and_the_generator_have_tables_of_their_own() -> None:
    results = Results(
        samples=[
            sample(NOTHING, 0, 200, workload=NOTHING, offered=200.0),
            sample(BASELINE, 0, 100, workload="sleep10"),
            sample(CANDIDATE, 0, 300, workload="sleep10"),
            sample(MOSEC, 0, 200, workload="sleep10"),
        ]
    )
    assert list(mosec_table(results).rows[0]) == ["sleep10", "c64", "200", "0.50", "1.50"]
    assert list(generator_table(results).rows[0])[:2] == ["200/s", "5.000"]
    assert all(NOTHING not in row for row in version_table(results).rows)


def test_an_overload_is_a_part_of_the_capacity(tmp_path: Path) -> None:
    results = Results(
        overloads=[
            Overload("overload", "400/s", BASELINE, 0, capacity=200, in_time=20, wait_after=10),
            Overload("overload", "400/s", CANDIDATE, 0, capacity=200, in_time=180, wait_after=0.1),
        ]
    )
    results.save(tmp_path / "figures.json")
    (table,) = tables(Results.load(tmp_path / "figures.json"))
    assert [list(row[2:]) for row in table.rows] == [
        ["answers in time ÷ capacity", "0.10", "0.90", "9.00"],
        ["a client afterwards waits, s", "10.00", "0.10", "0.01"],
    ]


@pytest.mark.parametrize(("offered", "name"), [(None, "c64"), (1000.0, "1000/s")])
def test_a_load_is_called_as_on_the_command_line(offered: float | None, name: str) -> None:
    assert load_name(sample(BASELINE, 0, 10, offered=offered)) == name
