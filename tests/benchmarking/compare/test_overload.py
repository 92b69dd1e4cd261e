"""Only predictions count that came in time, and while the load was at its full height."""

import pytest

from benchmarks.compare.overload import answered_in_time
from benchmarks.open_loop import NO_ANSWER, Answer


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (Answer(9.0, 1.5, 200), True),  # due during the ramp, answered after it
        (Answer(12.0, 5.0, 200), True),
        (Answer(12.0, 5.1, 200), False),  # too late
        (Answer(12.0, 1.0, 503), False),
        (Answer(12.0, 1.0, NO_ANSWER), False),
        (Answer(8.0, 1.0, 200), False),  # answered during the ramp
        (Answer(19.0, 1.0, 200), False),  # answered after the end
    ],
)
def test_answers_in_time(answer: Answer, counts: bool) -> None:
    assert answered_in_time([answer], first=10.0, last=20.0, timeout=5.0) == counts
