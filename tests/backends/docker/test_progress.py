"""What is told of Compose's work."""

from __future__ import annotations

import pytest

from denzel.backends.base import Passing
from denzel.backends.docker.progress import build_step, containers_shown

UP = """\
 Network shop_default  Creating
 Network shop_default  Created
 Volume "shop_venv"  Creating
 Volume "shop_venv"  Created
 Container shop-redis-1  Creating
 Container shop-redis-1  Created
 Container shop-redis-1  Starting
 Container shop-redis-1  Started
 Container shop-redis-1  Healthy
 Container shop-monitor-1  Starting
 Container shop-monitor-1  Started
 Container shop-denzel-2  Started
 Container shop-denzel-1  Started
 Container shop-mailer-1  Started
time="2026-11-26T07:32:31Z" level=warning msg="a volume exists already"
 Container shop-api-1  Running
 Container shop-callbacks-1 Started
"""
DOWN = """\
 Container shop-api-1  Stopping
 Container shop-api-1  Stopped
 Container shop-api-1  Removing
 Container shop-api-1  Removed
 Container shop-redis-1  Stopped
 Container shop-redis-1  Removed
 Network shop_default  Removing
 Network shop_default  Removed
 Volume shop_venv  Removed
"""


def reported(output: str, width: int = 0) -> tuple[list[str], list[str]]:
    """Return the lines that stay and those that pass."""
    lines: list[str] = []
    with containers_shown(lines.append, "shop", width) as receive:
        for line in output.splitlines():
            receive(line)
    return (
        [line for line in lines if not isinstance(line, Passing)],
        [line for line in lines if isinstance(line, Passing)],
    )


def test_services_start_in_the_tutorials_order() -> None:
    stay, passing = reported(UP)
    assert stay == [
        'Creating network "shop_default" with the default driver',
        "Starting redis   ... done",
        "Starting api     ... done",
        "Starting denzel  ... done",
        "Starting callbacks ... done",
        "Starting monitor ... done",
        "Starting denzel-2 ... done",
        "Starting mailer  ... done",
    ]
    assert "Starting redis" in passing
    assert passing[-1] == ""


def test_what_is_removed_is_told_after_what_was_stopped() -> None:
    assert reported(DOWN, width=12)[0] == [
        "Stopping shop-api-1   ... done",
        "Stopping shop-redis-1 ... done",
        "Removing shop-api-1   ... done",
        "Removing shop-redis-1 ... done",
        "Removing network shop_default",
        "Removing volume shop_venv",
    ]


def test_what_runs_already_is_no_change() -> None:
    lines: list[str] = []
    with containers_shown(lines.append, "shop", changes=True) as receive:
        receive(" Container shop-denzel-1  Running")
        receive(" Container shop-denzel-2  Started")
    assert lines == ["Starting denzel-2 ... done", ""]


def test_what_was_done_before_a_failure_is_told() -> None:
    lines: list[str] = []
    with pytest.raises(ValueError), containers_shown(lines.append, "shop") as receive:
        receive(" Container shop-denzel-1  Started")
        raise ValueError
    assert lines == ["Starting denzel  ... done", ""]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("#6 [api stage-0 3/7] RUN  if ! wget;    then", ("3/7", "RUN if ! wget; then")),
        ("#6 [3/7] RUN x", ("3/7", "RUN x")),
        ("#6 12.34 Collecting numpy", ("2/7", "Collecting numpy")),
        ("#6 DONE 0.1s", ("2/7", "")),
        ("", ("2/7", "")),
    ],
)
def test_the_step_of_a_build(line: str, expected: tuple[str, str]) -> None:
    assert build_step(line, "2/7") == expected
