"""Find where a request stands, and wait for its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.runtime.contract import STORED
from app.runtime.requests.acceptance import Run
from app.runtime.store.codecs import Record, decode_record
from app.runtime.store.keys import task_key

ANSWERED_MINUTES = 10
"""How long a small outcome of a synchronous request can be asked for after it was answered."""
WATCH_MARGIN_SECONDS = 10


@dataclass(frozen=True)
class Lookup:
    """Reads records for the API process called ``name``; large ones by ``redis``."""

    run: Run
    redis: Any
    name: str

    async def find(self, task_ids: Sequence[str]) -> list[Record | None]:
        """Return each request's record, None for an unknown id."""
        found = await self.run("find", ANSWERED_MINUTES, *task_ids)
        records = [None if each is None else decode_record(each) for each in found]
        for i, record in enumerate(records):
            if record is not None and record.state == STORED:
                whole = await self.redis.get(task_key(task_ids[i]))
                records[i] = None if whole is None else decode_record(whole)
        return records

    async def watch(self, task_id: str, seconds: float) -> None:
        """Have this process told when a request ends within so many seconds."""
        await self.run("watch", task_id, self.name, int(seconds) + WATCH_MARGIN_SECONDS)
