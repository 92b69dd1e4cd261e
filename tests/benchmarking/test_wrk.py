"""wrk's command line, and what is read from its output."""

from pathlib import Path

from benchmarks.wrk import SCRIPT, parse_output, wrk_arguments

OUTPUT = """\
Running 1s test @ http://127.0.0.1:8000/predict
Requests/sec:    100.00
{"requests": 100, "seconds": 1.0, "p50": 1.0, "p90": 2.0, "p99": 3.0, "max": 4.0, \
"refused": 5, "connect": 1, "read": 2, "write": 3, "timeout": 4}
"""


def test_arguments_name_the_body_and_the_preference() -> None:
    argv = wrk_arguments(
        "wrk", "http://127.0.0.1:1/predict", Path("body.json"), connections=64, seconds=2.4,
        prefer="respond-async",
    )  # fmt: skip
    assert argv == [
        "wrk", "--threads", "1", "--connections", "64", "--duration", "2s", "--timeout", "20s",
        "--script", str(SCRIPT), "http://127.0.0.1:1/predict", "--", "body.json",
        "application/json", "respond-async",
    ]  # fmt: skip


def test_refused_and_unanswered_requests_are_told_apart() -> None:
    load = parse_output(OUTPUT)
    assert (load.requests, load.refused, load.failed) == (100, 5, 10)
    assert load.rps == 95
    assert (load.p50, load.p99) == (1.0, 3.0)
