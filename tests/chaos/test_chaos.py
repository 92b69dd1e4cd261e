"""Nothing that was accepted is lost, whatever process dies at whatever moment."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from .clients import Clients
from .figures import figures
from .kills import Killer, plan, recovery_figures
from .probes import await_predictions, delivers, predicts
from .receiver import Receiver
from .stage import API_CHILD, CALLBACKS, Stage
from .verdict import judge

LONG_KILLS, LONG_PAUSE = 60, (2.0, 12.0)
SHORT_KILLS, SHORT_PAUSE = 10, (0.5, 2.5)
CLIENTS, CLIENT_PAUSE = 12, 0.4
LONG_SETTLING, SHORT_SETTLING = 300, 120
"""Seconds after which everything must be done."""
REFUSED = 0.02


def whole(stage: Stage, receiver: Receiver) -> Callable[[str], bool]:
    """Return what tells whether what was killed works again."""

    def is_whole(kind: str) -> bool:
        if kind == API_CHILD:
            return True  # its place is taken
        if kind == CALLBACKS:
            return delivers(stage.url, uri(receiver), receiver)
        return predicts(stage.url)

    return is_whole


def uri(receiver: Receiver) -> str:
    return f"http://127.0.0.1:{receiver.port}/callback"


@pytest.mark.timeout(1800)
def test_nothing_accepted_is_lost(
    stage: Stage, rng: random.Random, seed: int, is_long: bool
) -> None:
    receiver = Receiver(random.Random(rng.random()), REFUSED)
    try:
        await_predictions(stage.url, 30)
        processes = sorted(stage.processes().values())
        clients = Clients(stage.url, uri(receiver), threads=CLIENTS, pause=CLIENT_PAUSE, rng=rng)
        killer = Killer(stage, whole(stage, receiver))
        try:
            kinds = plan(LONG_KILLS if is_long else SHORT_KILLS, rng)
            killer.run(kinds, LONG_PAUSE if is_long else SHORT_PAUSE, rng)
        finally:
            clients.stop()
        settling = LONG_SETTLING if is_long else SHORT_SETTLING
        verdict = judge(stage.url, clients.accepted, receiver, settling)
        figures(
            f"chaos, seed {seed}",
            **verdict.describe(),
            retries_of_clients=clients.retries,
            kills=len(killer.kills),
            **recovery_figures(killer.kills),
        )
        assert clients.surprises == []
        assert verdict.lost == 0, verdict.problems()
        assert all(kill.seconds is not None for kill in killer.kills), killer.kills
        assert len(killer.kills) == len(kinds)
        stage.wait_until_ready()
        assert sorted(stage.processes().values()) == processes  # none is left over, none missing
    finally:
        receiver.close()
