"""What the API is told of a worker whose processes come and go."""

from __future__ import annotations

import redis

from app.runtime.settings import parse_settings
from app.runtime.state import ERROR, LOADING, UP
from app.runtime.store.lua_scripts import load_script
from app.runtime.store.model_states import decode_model_states
from app.runtime.worker.announcer import REPLACING_SECONDS, ModelAnnouncer

from ..deployment import Deployment


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


def test_a_process_that_is_replaced_is_no_reason_to_refuse_requests_unless_it_takes_long(
    client: redis.Redis, redis_server: Deployment
) -> None:
    settings = parse_settings({"REDIS_URL": redis_server.environment["REDIS_URL"]})
    clock = Clock()
    announcer = ModelAnnouncer(settings, clock=clock)
    find = client.register_script(load_script("find_models"))

    def told(state: str) -> str:
        announcer.tell(state)
        (found,) = decode_model_states(find())
        return found.state

    assert told(LOADING) == LOADING  # there was no model yet
    assert told(UP) == UP
    clock.now += REPLACING_SECONDS / 2
    assert told(LOADING) == UP
    assert told(ERROR) == ERROR  # it will not come back by itself
    assert told(LOADING) == LOADING
    assert told(UP) == UP
    clock.now += REPLACING_SECONDS
    assert told(LOADING) == LOADING
