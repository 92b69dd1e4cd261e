"""Run the user's verify_input in the API without holding up other requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.runtime.api.errors import BadInput, BrokenPipeline
from app.runtime.contract import text_of
from app.runtime.pipeline.json_codec import dump_verified

SLOW_SECONDS = 0.005
SLOW_CALLS = 8
QUICK_CALLS = 16
"""verify_input leaves the event loop for a thread when SLOW_CALLS calls in a row took longer
than SLOW_SECONDS, and comes back when QUICK_CALLS in a row did not: a single slow call may be
the machine's doing.
"""


class Verifier:
    """Calls ``verify_input``: on the event loop once it has shown to be quick, else in one thread.

    One thread, because a pipeline is not asked to be thread-safe.
    """

    def __init__(self, verify_input: Callable[[Any], Any]) -> None:
        self._verify_input = verify_input
        self._in_thread = True  # nothing is known yet: not on the event loop
        self._against = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="verify_input")

    async def __call__(self, json_data: Any) -> bytes:
        """Return what verify_input makes of a request's JSON, as JSON.

        Raises BadInput with the message of any exception, BrokenPipeline when verify_input
        returns something JSON has no form for.
        """
        if not self._in_thread:
            return self._verify(json_data)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._verify, json_data)

    def _verify(self, json_data: Any) -> bytes:
        started = time.perf_counter()
        try:
            verified = self._verify_input(json_data)
        except BaseException as error:
            raise BadInput(text_of(error) or type(error).__name__) from error
        finally:
            self._observe(time.perf_counter() - started)
        try:
            return dump_verified(verified)
        except (TypeError, ValueError) as error:
            raise BrokenPipeline(f"What verify_input returned is unusable: {error}") from error

    def _observe(self, seconds: float) -> None:
        """Change between event loop and thread when enough calls in a row speak for it."""
        speaks_against = (seconds > SLOW_SECONDS) != self._in_thread
        self._against = self._against + 1 if speaks_against else 0
        if self._against >= (QUICK_CALLS if self._in_thread else SLOW_CALLS):
            self._in_thread = not self._in_thread
            self._against = 0
