"""Run the user's verify_input in the API without holding up other requests."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from app.runtime.api.errors import BadInput, BrokenPipeline
from app.runtime.contract import text_of
from app.runtime.pipeline.payloads import dump_verified
from app.runtime.pipeline.raw_requests import NOTHING_RETURNED, ParseRequest, RawRequest
from app.runtime.pipeline.schemas import DENZELS_OWN, Mismatch, Schema

SLOW_SECONDS = 0.005
SLOW_CALLS = 3
RECENT_CALLS = 300
"""verify_input leaves the event loop for good when SLOW_CALLS of the last RECENT_CALLS took longer
than SLOW_SECONDS.

The process's first call does not count: it may import, or fill caches.  Nor does time in which
other processes had the processor: on a busy machine every function is slow three times an hour,
and a thread costs a request as much as all the rest that is done for it here."""
EXCUSED_SECONDS = 600.0
"""How long a call may hold the event loop; then its process is taken for hung, and ended."""

NOT_RETURNED = object()
"""Stands for the ``callback_uri`` of what has none."""

_THREAD: int = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
"""Whose usage is asked for; systems other than Linux tell of the whole process alone."""

log = logging.getLogger("denzel.api")


class Verified(NamedTuple):
    """What verify_input returned, for the worker; and the ``callback_uri`` in it, if there is one.

    That one is taken in place of the request's.
    """

    payload: bytes
    callback_uri: Any


class Verifier:
    """Calls ``verify_input``: on the event loop until it has shown itself slow, then in threads.

    Never in both at once: a call on the event loop holds it until it ends, and after the change
    no other begins there.  An ``async def verify_input`` is awaited.  ``schema`` is what a request
    must be like before it is called; for one that is no JSON, ``parse_request`` is called instead.
    """

    def __init__(
        self,
        verify_input: Callable[[Any], Any],
        threads: int,
        schema: Schema | None = None,
        parse_request: ParseRequest | None = None,
    ) -> None:
        self._verify_input = verify_input
        self._schema = schema
        self._parse_request = parse_request
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._calls = 0
        self._slow_calls: deque[int] = deque(maxlen=SLOW_CALLS)
        self._on_loop_since: float | None = None

    async def __call__(self, json_data: Any) -> Verified:
        """Return what verify_input makes of a request's JSON, or of a RawRequest.

        Raises BadInput with the message of any exception, BrokenPipeline when verify_input
        returns something that is not JSON-serializable.
        """
        if self._pool is None:
            verified = self._verify_on_loop(json_data)
        else:
            loop = asyncio.get_running_loop()
            verified = await loop.run_in_executor(self._pool, self._verify, json_data)
        return verified if isinstance(verified, Verified) else await _finish(verified)

    def is_running_on_loop(self) -> bool:
        """Tell whether a call holds the event loop, for no longer than one may; from any thread."""
        since = self._on_loop_since
        return since is not None and time.monotonic() - since < EXCUSED_SECONDS

    def _verify_on_loop(self, json_data: Any) -> Verified | Awaitable[Any]:
        usage = resource.getrusage(_THREAD)
        started = self._on_loop_since = time.monotonic()
        try:
            return self._verify(json_data)
        finally:
            self._on_loop_since = None
            self._calls += 1
            if time.monotonic() - started > SLOW_SECONDS and self._calls > 1:
                self._observe(usage, resource.getrusage(_THREAD))

    @property
    def takes_raw_requests(self) -> bool:
        """Whether requests may be something else than JSON."""
        return self._parse_request is not None

    def _verify(self, json_data: Any) -> Verified | Awaitable[Any]:
        is_raw = isinstance(json_data, RawRequest)
        if is_raw:
            json_data = self._parse(json_data)
        try:
            if self._schema is not None and not is_raw:
                json_data = self._schema.accept_request(json_data)
            verified = self._verify_input(json_data)
        except BaseException as error:
            raise _refuse(error) from error
        return verified if hasattr(verified, "__await__") else _serialize(verified)

    def _parse(self, request: RawRequest) -> Any:
        assert self._parse_request is not None
        try:
            json_data = self._parse_request(request.content_type, request.body)
        except BaseException as error:
            raise _refuse(error, "parse_request") from error
        if json_data is None:
            raise BrokenPipeline(NOTHING_RETURNED)
        return json_data

    def _observe(self, before: resource.struct_rusage, after: resource.struct_rusage) -> None:
        """Leave the event loop when enough calls were slow; this one took long."""
        if was_preempted(before, after):
            return
        self._slow_calls.append(self._calls)
        is_slow = len(self._slow_calls) == SLOW_CALLS
        if is_slow and self._calls - self._slow_calls[0] < RECENT_CALLS:
            log.info("verify_input takes long: it runs in %d threads from now on", self._threads)
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="verify_input")


def was_preempted(before: resource.struct_rusage, after: resource.struct_rusage) -> bool:
    """Tell whether a call took long only because others had the processor meanwhile.

    Else it has computed, or has waited: for a disk, another's answer, or the clock.
    """
    waited = after.ru_nvcsw != before.ru_nvcsw
    computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return not waited and computed <= SLOW_SECONDS


async def _finish(verifying: Awaitable[Any]) -> Verified:
    """Return what an ``async def verify_input`` returns."""
    try:
        verified = await verifying
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise  # by the server: the client has gone
        raise _refuse(error) from error
    return _serialize(verified)


def _serialize(verified: Any) -> Verified:
    uri = verified.get(DENZELS_OWN, NOT_RETURNED) if isinstance(verified, dict) else NOT_RETURNED
    try:
        return Verified(dump_verified(verified), uri)
    except (TypeError, ValueError) as error:
        raise BrokenPipeline(f"What verify_input returned is unusable: {error}") from error


def _refuse(error: BaseException, name: str = "verify_input") -> BadInput:
    """Return the answer to a request for which the function called ``name`` raised.

    A ValueError is how it refuses a request.  Anything else may be a mistake in it, so the
    description has its type, and the log its traceback, without this module's own line.
    """
    text = text_of(error)
    if isinstance(error, Mismatch):
        return BadInput(text, path=error.pointer)
    if isinstance(error, ValueError) and text:
        return BadInput(text)
    kind = type(error).__name__
    described = f"{kind}: {text}" if text else kind
    own = error.__traceback__
    lines = own.tb_next if own is not None else None
    log.error("%s raised %s", name, described, exc_info=(type(error), error, lines))
    return BadInput(described)
