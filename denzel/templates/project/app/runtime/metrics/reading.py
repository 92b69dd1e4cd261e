"""Read the figures of the whole deployment, in an API process."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import orjson
import redis.asyncio

from app.runtime.metrics.tally import Key
from app.runtime.store.lua_scripts import load_script


@dataclass(frozen=True)
class ServiceFigures:
    """The processes of a service on one host; ``memory`` is in bytes."""

    service: str
    host: str
    processes: int
    memory: int


class FigureReader:
    """Reads sums, processes and load; every method may raise RedisError and OSError."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = client
        self._find_metrics: Any = client.register_script(load_script("find_metrics"))
        self._find_load: Any = client.register_script(load_script("find_load"))

    async def load(self) -> dict[str, float]:
        """Return how much there is to do, by the names that ``find_load.lua`` gives it."""
        found = await self._find_load()
        return {
            name.decode(): float(value)
            for name, value in zip(found[::2], found[1::2], strict=True)
        }  # fmt: skip

    async def sums(self) -> tuple[dict[Key, float], list[ServiceFigures]]:
        """Return what all processes have counted, and the processes of each service and host."""
        sums, lines = await self._find_metrics()
        values: dict[Key, float] = {}
        for field, value in zip(sums[::2], sums[1::2], strict=True):
            name, labels, part = orjson.loads(field)
            values[name, tuple(labels), part] = float(value)
        return values, _by_service(lines)

    async def redis_memory(self) -> tuple[float, float]:
        """Return how many bytes Redis uses and may use; 0 stands for no limit."""
        found = await self._redis.info("memory")
        return float(found["used_memory"]), float(found["maxmemory"])


def _by_service(lines: list[bytes]) -> list[ServiceFigures]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        process = orjson.loads(line)
        found[process["service"], process["host"]].append(process)
    return [
        ServiceFigures(
            service,
            host,
            sum(each["processes"] for each in processes),
            sum(each["memory"] for each in processes),
        )
        for (service, host), processes in sorted(found.items())
    ]
