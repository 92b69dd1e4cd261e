"""Both versions, and Mosec, get the same settings."""

from benchmarks.compare.scenarios import SCENARIOS


def test_batches_wait_equally_long_on_every_side() -> None:
    for scenario in SCENARIOS.values():
        if scenario.mosec is not None:
            assert scenario.batches
            assert float(scenario.settings["BATCH_MAX_WAIT"]) == scenario.mosec.wait
            assert int(scenario.settings["BATCH_MAX_SIZE"]) == scenario.mosec.size


def test_one_load_of_a_scenario_is_told_from_another() -> None:
    for scenario in SCENARIOS.values():
        labels = [load.label for load in scenario.loads]
        assert len(labels) == len(set(labels))
