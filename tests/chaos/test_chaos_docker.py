"""Nothing that was accepted is lost when containers are killed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from engine import require_engine

from .clients import Clients
from .conftest import SETTINGS, SHORT_SETTINGS
from .containers import Containers, kill_by_turns
from .figures import figures
from .kills import recovery_figures
from .probes import await_predictions, delivers
from .receiver import Receiver
from .verdict import judge

pytestmark = pytest.mark.docker

LONG_KILLS, SHORT_KILLS = 24, 8
CLIENTS, CLIENT_PAUSE = 6, 0.4
SETTLING_SECONDS = 180
REFUSED = 0.02


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    require_engine()


@pytest.fixture
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    containers = Containers(tmp_path_factory.mktemp("containers"), {**SETTINGS, **SHORT_SETTINGS})
    try:
        containers.launch()
        yield containers
    finally:
        containers.end()


@pytest.mark.timeout(1800)
def test_nothing_accepted_is_lost(
    containers: Containers, rng: random.Random, seed: int, is_long: bool
) -> None:
    receiver = Receiver(random.Random(rng.random()), REFUSED, address="0.0.0.0")
    callback_uri = f"http://host.docker.internal:{receiver.port}/callback"
    try:
        await_predictions(containers.url, 30)
        clients = Clients(
            containers.url, callback_uri, threads=CLIENTS, pause=CLIENT_PAUSE, rng=rng
        )
        try:
            kills = kill_by_turns(
                containers, LONG_KILLS if is_long else SHORT_KILLS, rng,
                lambda: delivers(containers.url, callback_uri, receiver),
            )  # fmt: skip
        finally:
            clients.stop()
        verdict = judge(containers.url, clients.accepted, receiver, SETTLING_SECONDS)
        figures(
            f"chaos on Docker, seed {seed}",
            **verdict.describe(),
            retries_of_clients=clients.retries,
            kills=len(kills),
            **recovery_figures(kills),
        )
        assert clients.surprises == []
        assert verdict.lost == 0, verdict.problems()
        assert all(kill.seconds is not None for kill in kills), kills
        containers.wait_until_ready()
    finally:
        receiver.close()
