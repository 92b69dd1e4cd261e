"""What is calculated from costs: the narrowest part decides."""

from __future__ import annotations

import pytest

from benchmarks.capacity.model import Costs, Deployment, Model, limits, narrowest

COSTS = Costs(api=100, redis=25, worker=50, process=20, callbacks=1, monitor=4)


@pytest.mark.parametrize(
    ("deployment", "model", "expected"),
    [
        (Deployment(1, 1, 2), Model(0.008), ("model", 200)),
        (Deployment(1, 1, 64), Model(0.0, 32), ("api", 10_000)),
        (Deployment(4, 1, 64), Model(0.0, 32), ("worker", 20_000)),
        (Deployment(64, 64, 8), Model(0.0, 32), ("redis", 40_000)),
        (Deployment(64, 64, 8, shared=2), Model(0.0, 32), ("processors", 10_000)),
    ],
    ids=["model", "api", "worker", "redis", "processors"],
)
def test_the_narrowest_part_decides(
    deployment: Deployment, model: Model, expected: tuple[str, float]
) -> None:
    name, rate = narrowest(limits(deployment, COSTS, model, overhead=0.002))
    assert name == expected[0]
    assert rate == pytest.approx(expected[1])


def test_a_generator_on_the_same_processors_takes_its_part() -> None:
    found = limits(Deployment(8, 8, 8, shared=2), COSTS, Model(0.0, 64), overhead=0.002,
                   generator=50)  # fmt: skip
    assert found["processors"] == pytest.approx(8_000)
