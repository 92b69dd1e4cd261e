"""Tables hold what was measured, and nothing when nothing was."""

from pathlib import Path

from benchmarks.records import Backlog, Load, Results, Sample, Start
from benchmarks.report import as_rst, as_text, documentation, tables

LOAD = Load(requests=300, seconds=3.0, p50=1.25, p90=2.0, p99=3.5, max=4.0, failed=2)


def measured() -> Results:
    return Results(
        machine={"Machine": "2 processors"},
        options={"Batches": "of at most 64"},
        samples=[
            Sample("iris", "denzel", 0, 64, LOAD, cpu_ms=0.5),
            Sample("iris", "denzel", 0, 0, LOAD, cpu_ms=0.6, offered=50.0, late=0.1),
            Sample("redis", "redis", 0, 1, LOAD),
        ],
        starts=[Start("iris", "denzel", 0, 3.0, 9, 0.5, 100.0, 200.0, 110.0, 210.0)],
        backlogs=[Backlog(0, 100_000, 66, 1000.0, 5000.0, 4900.0, 3000.0, 2900.0)],
        failures=["iris #1 mosec: no answer\nits log"],
    )


def test_each_kind_of_figure_has_its_table() -> None:
    titles = [table.title.partition(":")[0] for table in tables(measured())]
    assert titles == [
        "Targets", "iris", "iris, open loop at half of each side's own capacity", "floor",
        "backlog", "Start time and memory, all processes of a side",
    ]  # fmt: skip


def test_rows_fit_their_heads() -> None:
    for table in tables(measured()):
        assert all(len(row) == len(table.head) for row in table.rows), table.title


def test_text_and_rst_show_a_figure() -> None:
    (iris,) = [table for table in tables(measured()) if table.title.startswith("iris:")]
    assert "denzel  64           100        1.25    3.50    0.50    2" in as_text(iris)
    assert "   * - denzel\n     - 64\n     - 100\n     - 1.25\n" in as_rst(iris)


def test_documentation_says_what_failed_and_how_it_was_measured() -> None:
    text = documentation(measured(), ["iris"])
    assert "* iris #1 mosec: no answer\n" in text
    assert "its log" not in text
    assert ":Machine: 2 processors\n:Batches: of at most 64\n" in text
    assert ".. figure:: _static/performance_iris.svg" in text


def test_nothing_measured_makes_no_table() -> None:
    assert tables(Results()) == []


def test_results_survive_their_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "results.json"
    measured().save(file)
    assert Results.load(file) == measured()
