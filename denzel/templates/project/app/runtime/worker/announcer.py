"""Tell the API how this worker is with its model; a worker serves, told or not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from app.runtime import state
from app.runtime.settings import Settings
from app.runtime.store.model_states import ModelAnnouncement
from app.runtime.worker.context import connect_main, holder, is_beside_another, predecessors

REPEAT_SECONDS = 2.0
STARTING_SECONDS = 120.0
"""How long a worker that cannot repeat itself is believed beyond what it is about to do."""
REPLACING_SECONDS = 2.0
"""How long a worker counts as having its model when the last process with one has died.

Most successors have it sooner: they inherit it, or it is small.  Whoever waits for that is answered
long before one who is refused would ask again."""

log = logging.getLogger("denzel.worker")


class ModelAnnouncer:
    """Lives in the worker's main process, whose ``name`` is known when it has its model.

    ``clock`` gives seconds.
    """

    def __init__(
        self, settings: Settings, name: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        client = connect_main(settings)
        self._client = client
        self._announcement = ModelAnnouncement(client, holder(settings), predecessors(settings))
        self._name = name
        self._lease = settings.recovery_seconds
        self._is_silent = is_beside_another()
        self._told: tuple[str, str] | None = None
        self._next = 0.0
        self._clock = clock
        self._was_up = float("-inf")

    def tell(self, value: str, detail: str = "") -> None:
        """Tell the state if it has changed, or was told some seconds ago.

        What takes over from another worker says nothing before it is up: it may never be.
        """
        now = self._clock()
        if value == state.UP:
            self._was_up = now
        elif value == state.ERROR:
            self._was_up = float("-inf")
        elif now - self._was_up < REPLACING_SECONDS:
            value, detail = state.UP, ""
        self._is_silent = self._is_silent and value != state.UP
        if self._is_silent:
            return
        if (value, detail) != self._told or now >= self._next:
            self._next = now + REPEAT_SECONDS
            self._told = (value, detail) if self._make(value, detail, self._lease) else None

    def tell_once(self, value: str, detail: str, seconds: float) -> None:
        """Tell a state that is not repeated: for so many seconds this process does other things.

        The connection is closed, since processes may be forked meanwhile.
        """
        if not self._is_silent:
            self._make(value, detail, seconds + STARTING_SECONDS)
        self._client.close()

    def withdraw(self) -> None:
        """Tell that this worker takes no more requests."""
        try:
            self._announcement.withdraw()
        except RedisError as error:
            log.warning("Redis is not told that this worker ends: %s", error)

    def _make(self, value: str, detail: str, seconds: float) -> bool:
        try:
            self._announcement.make(value, detail, seconds, self._name)
        except RedisError as error:
            # The worker's other connections tell it louder, if Redis stays away.
            log.info("Redis is not told that the model is %s: %s", value.rstrip("."), error)
            return False
        return True


def announce_loading(settings: Settings) -> None:
    """Tell that the model is about to be loaded in this process, which takes all of it."""
    announcer = ModelAnnouncer(settings)
    announcer.tell_once(state.LOADING, "", settings.model_load_timeout)


def announce_failure(settings: Settings, reason: str, seconds: float) -> None:
    """Tell why there is no model, and that there will be none for so many seconds."""
    ModelAnnouncer(settings).tell_once(state.ERROR, reason, seconds)
