"""Find where a request stands, and wait for its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.runtime.requests.acceptance import Run
from app.runtime.store.codecs import Record, decode_record

ANSWERED_MINUTES = 10
"""How long a small outcome of a synchronous request can be asked for after it was answered."""
WATCH_MARGIN_SECONDS = 10


@dataclass(frozen=True)
class Lookup:
    """Reads records for the API process called ``name``."""

    run: Run
    name: str

    async def find(self, task_ids: Sequence[str]) -> list[Record | None]:
        """Return each request's record, None for an unknown id."""
        found = await self.run("find", ANSWERED_MINUTES, *task_ids)
        return [None if each is None else decode_record(each) for each in found]

    async def watch(self, task_id: str, seconds: float) -> None:
        """Have this process told when a request ends within so many seconds."""
        await self.run("watch", task_id, self.name, int(seconds) + WATCH_MARGIN_SECONDS)
