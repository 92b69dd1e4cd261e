"""How the workers are with their models, where every API process finds it.

Each worker has a line in ``denzel:models`` that it repeats every few seconds; one that is not
repeated is believed for a while, by Redis's clock, and then forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from app.runtime.store.keys import MODELS_KEY
from app.runtime.store.lua_scripts import load_script


@dataclass(frozen=True)
class ModelState:
    """What a worker tells of its model: a state as ``state.py`` names them, and why."""

    holder: str
    state: str
    detail: str = ""
    name: str = ""

    @property
    def worker(self) -> str:
        """The worker's name as Celery has it: ``worker@PROJECT``, until it has one of its own."""
        return self.name or self.holder.split("/")[0]

    @property
    def host(self) -> str:
        """The name of the worker's host, or container."""
        return self.holder.split("/")[1]


class ModelAnnouncement:
    """The line of the worker called ``holder``; methods may raise RedisError.

    ``predecessors`` is what their names begin with, whose lines its first one replaces; empty for
    none.
    """

    def __init__(self, client: redis.Redis, holder: str, predecessors: str) -> None:
        self._redis = client
        self._holder = holder
        self._predecessors = predecessors
        self._announce: Any = client.register_script(load_script("announce_model"))

    def make(self, state: str, detail: str, seconds: float, name: str = "") -> None:
        """Tell the state, to be believed for so many seconds unless it is told again.

        ``name`` is the worker's, once it has one.
        """
        replaced = self._predecessors or self._holder
        self._announce(args=[self._holder, replaced, state, name, detail, seconds])
        self._predecessors = ""  # another one may be started beside this one

    def withdraw(self) -> None:
        """Tell nothing any more."""
        self._redis.hdel(MODELS_KEY, self._holder)


def decode_model_states(found: Sequence[bytes]) -> list[ModelState]:
    """Return what ``find_models.lua`` has found."""
    states = []
    for holder, line in zip(found[::2], found[1::2], strict=True):
        _, state, name, detail = line.decode(errors="replace").split(" ", 3)
        states.append(ModelState(holder.decode(errors="replace"), state, detail, name))
    return sorted(states, key=lambda each: each.holder)
