"""Find the addresses of receivers' names, without letting slow name servers hold up others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from app.runtime.callbacks.slots import Slots

Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a name, best first; raises OSError when it has none."""

LOOKUPS = 128
LOOKUPS_PER_ZONE = 8
ZONE_PREFIX = "lookup "
"""Tells the keys of slots for lookups from those for receivers."""
CACHE_SECONDS = 5.0
CACHE_SIZE = 1024


def resolve_name(host: str, port: int) -> list[str]:
    """Return the addresses the system's resolver gives for a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Resolver:
    """Looks names up in threads, for the system's resolver knows neither tasks nor time limits.

    A lookup may hang for a minute when the zone's name server does not answer, so the slots of
    lookups are counted by zone, the last two labels of a name, and held until the thread ends.
    The addresses of a name are kept for some seconds, and so is its failure to resolve: whether an
    address may be connected to is checked whenever one is.
    """

    def __init__(
        self, resolve: Resolve = resolve_name, cache_seconds: float = CACHE_SECONDS
    ) -> None:
        self._resolve = resolve
        self._cache_seconds = cache_seconds
        self._cache: OrderedDict[str, tuple[float, Sequence[str] | OSError]] = OrderedDict()
        self._running: dict[str, asyncio.Future[Sequence[str]]] = {}
        self.slots = Slots(LOOKUPS, LOOKUPS_PER_ZONE)

    async def lookup(self, host: str, port: int) -> Sequence[str]:
        """Return a name's addresses; raises OSError when it has none.

        Raises Crowded when too many lookups in its zone are under way.
        """
        until, found = self._cache.get(host, (0.0, ()))
        if time.monotonic() < until:
            if isinstance(found, OSError):
                raise found.with_traceback(None)
            return found
        zone = ZONE_PREFIX + ".".join(host.split(".")[-2:])
        self.slots.acquire(zone)
        running = self._running.get(host) or self._start(host, port)
        running.add_done_callback(lambda _: self.slots.release(zone))
        return await asyncio.shield(running)

    def _start(self, host: str, port: int) -> asyncio.Future[Sequence[str]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[str]] = loop.create_future()
        self._running[host] = future

        def work() -> None:
            try:
                found: Sequence[str] | OSError = self._resolve(host, port)
            except OSError as error:
                found = error
            except ValueError as error:  # a name that the resolver's own checks refuse
                found = OSError(str(error))
            with contextlib.suppress(RuntimeError):  # the loop is closed: the service has ended
                loop.call_soon_threadsafe(self._finish, host, future, found)

        try:
            threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
        except RuntimeError as error:  # the system allows no more threads
            self._finish(host, future, OSError(str(error)))
        return future

    def _finish(
        self, host: str, future: asyncio.Future[Sequence[str]], found: Sequence[str] | OSError
    ) -> None:
        del self._running[host]
        self._cache[host] = (time.monotonic() + self._cache_seconds, found)
        self._cache.move_to_end(host)
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        if isinstance(found, OSError):
            future.set_exception(found)
            future.exception()  # whoever asked may have given up
        else:
            future.set_result(found)
