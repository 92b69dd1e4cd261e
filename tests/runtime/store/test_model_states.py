"""Which workers' lines about their models stand in Redis, one after and beside another."""

from __future__ import annotations

from typing import Any

import redis

from app.runtime.store.keys import MODELS_KEY
from app.runtime.store.model_states import ModelAnnouncement

PLACE = "worker@lab/host/"


def holders(client: redis.Redis) -> list[str]:
    """Return who has a line."""
    found: Any = client.hkeys(MODELS_KEY)  # bytes, without decode_responses
    return sorted(holder.decode().rpartition("/")[2] for holder in found)


def test_a_worker_that_takes_over_and_the_one_before_it_both_keep_their_lines(
    client: redis.Redis,
) -> None:
    old = ModelAnnouncement(client, f"{PLACE}old", PLACE)
    old.make("UP", "", 10)
    new = ModelAnnouncement(client, f"{PLACE}new", "")
    for each in (new, old, new):
        each.make("UP", "", 10)
        assert holders(client) == ["new", "old"]
    old.withdraw()
    assert holders(client) == ["new"]
    ModelAnnouncement(client, f"{PLACE}restarted", PLACE).make("LOADING...", "", 10)
    assert holders(client) == ["restarted"]
