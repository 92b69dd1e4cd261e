"""A master of Redis dies under load, a replica takes its place: what was accepted is counted."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from denzel.polling import polls
from runtime.redis_servers import Group

from .clients import Accepted, Clients
from .conftest import SETTINGS
from .failover import LaggingGroup
from .figures import figures
from .probes import await_predictions
from .receiver import Receiver
from .stage import Stage
from .verdict import judge

DELAY = 0.05
"""Seconds by which the replica lags: it is in another city."""
LONG_FAILOVERS, SHORT_FAILOVERS = 5, 1
LOAD_SECONDS = 3.0
CLIENTS, CLIENT_PAUSE = 12, 0.3
SETTLING = 120
BACK_SECONDS = 60.0


def accepts_again(clients: Clients, since: float) -> float:
    """Return when the first request was accepted after a moment."""
    for _ in polls(0.1, timeout=BACK_SECONDS):
        if later := [each.at for each in clients.accepted if each.at > since]:
            return min(later)
    pytest.fail(f"No request was accepted within {BACK_SECONDS} s")


def since_the_nearest(moments: Sequence[float], at: float) -> float:
    """Return the seconds from the nearest of some moments; less than 0 before it."""
    return at - min(moments, key=lambda moment: abs(moment - at))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("replicas", [1, 0])
def test_what_a_failover_costs(
    tmp_path: Path, rng: random.Random, seed: int, is_long: bool, replicas: int
) -> None:
    if not (replicas or is_long):
        pytest.skip("what is lost without REDIS_WAIT_REPLICAS is measured in the long form")
    group = Group(tmp_path / "servers")
    (tmp_path / "servers").mkdir()
    settings = {
        **SETTINGS, "REDIS_URL": group.url, "REDIS_PASSWORD": "", "RECOVERY_SECONDS": "5",
        "REDIS_WAIT_REPLICAS": str(replicas),
    }  # fmt: skip
    with group.running(), closing(Receiver(random.Random(rng.random()))) as receiver:
        lagging = LaggingGroup(group, DELAY)
        stage = Stage(tmp_path, settings)
        try:
            stage.launch()
            named: list[float] = []
            back: list[float] = []
            deaths: list[float] = []
            accepted: list[Accepted] = []
            for _ in range(LONG_FAILOVERS if is_long else SHORT_FAILOVERS):
                lagging.attach()
                await_predictions(stage.url, BACK_SECONDS)
                uri = f"http://127.0.0.1:{receiver.port}/callback"
                clients = Clients(stage.url, uri, threads=CLIENTS, pause=CLIENT_PAUSE, rng=rng)
                try:
                    time.sleep(LOAD_SECONDS)
                    began = time.monotonic()
                    deaths.append(began)
                    named.append(lagging.fail_over())
                    dead = time.monotonic()
                    # Without a replica nothing is accepted that asks for one.
                    lagging.bring_back()
                    back.append(accepts_again(clients, dead) - began)
                    time.sleep(LOAD_SECONDS)
                finally:
                    clients.stop()
                assert not clients.surprises, clients.surprises[:5]
                accepted += clients.accepted
                await_predictions(stage.url, SETTLING)
            verdict = judge(stage.url, accepted, receiver, SETTLING)
            figures(
                f"{len(named)} failovers, REDIS_WAIT_REPLICAS={replicas}, DENZEL_CHAOS_SEED={seed}",
                seconds_until_the_sentinels_name_another=[round(each, 1) for each in named],
                seconds_until_a_request_is_accepted_again=[round(each, 1) for each in back],
                seconds_from_a_death_to_the_acceptance_of_what_was_lost=sorted(
                    round(since_the_nearest(deaths, each.at), 1)
                    for each in accepted
                    if each.task_id in verdict.lost_ids
                ),
                **verdict.describe(),
            )
            if replicas:
                assert verdict.lost == 0, verdict.problems()
        finally:
            stage.end()
