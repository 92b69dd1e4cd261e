"""What is redrawn in place fits the terminal."""

from __future__ import annotations

import click

from denzel.live import fitting, wrap

RED = click.style("ERROR", fg="red")


def test_a_line_that_is_too_long_is_wrapped_between_words() -> None:
    line = f"    api - {RED} (see logs/api.log or `denzel logs`)"
    rows = wrap(line, 28)
    assert [click.unstyle(row) for row in rows] == [
        "    api - ERROR (see",
        "        logs/api.log or",
        "        `denzel logs`)",
    ]
    assert RED in rows[0]


def test_a_word_that_is_too_long_is_broken() -> None:
    assert wrap("x" * 25, 11) == ["x" * 6, *["    " + "x" * 6] * 3, "    x"]
    assert "".join(wrap("x" * 25, 2)).replace(" ", "") == "x" * 25


def test_a_line_that_fits_stays_as_it_is() -> None:
    for line in ("", "    ", "Services:", f"    api - {RED}"):
        assert wrap(line, 17) == [line]


def test_what_is_too_high_is_cut_short_and_at_last_left_out() -> None:
    long = ["word " * 6 + "end"] * 4
    assert len(fitting(long, 20, 24)) == 8
    assert fitting(long, 20, 6) == ["word word word wor…"] * 4
    assert fitting(long, 20, 4) == ["word word word wor…"] * 2 + ["… 2 more lines"]
    assert fitting(long, 20, 1) == ["… 4 more lines"]
