"""The callbacks service: delivers predictions to the URIs their requests named.

It takes what is due from Redis and sends it, hundreds at once.  What to send, and when, stands in
Redis alone (``deliveries.py``), so this process may die at any moment and lose nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Iterable, Sequence

import redis

from app.runtime import state
from app.runtime.callbacks.backlog import Backlog
from app.runtime.callbacks.deliveries import Callback, Deliveries
from app.runtime.callbacks.measurements import count_attempt
from app.runtime.callbacks.page_receiver import PageReceiver, token_of
from app.runtime.callbacks.resolver import ZONE_PREFIX
from app.runtime.callbacks.schedule import Answer, RetrySchedule
from app.runtime.callbacks.sender import Sender, Undeliverable
from app.runtime.callbacks.slots import Crowded, Slots
from app.runtime.callbacks.spans import CallbackSpans
from app.runtime.callbacks.uri import parse_uri
from app.runtime.logs import Outage, of_task
from app.runtime.metrics.tally import Tally
from app.runtime.tracing import Tracing

MAX_TASKS = 1500
"""More than the slots of sender and resolver together, for those whose outcome is recorded."""
TAKE_COUNT = 256
BEGUN_PER_TURN = 8
WAIT_SECONDS = 1.0
RENEWALS = 3
"""How often in the time of a claim it is renewed."""
GRACE_SECONDS = 20.0
"""How long what is under way may take to end once the service shall stop."""

log = logging.getLogger("denzel.callbacks")


class CallbackService:
    """Delivers what is due until it is told to stop; counts what comes of it in ``tally``.

    ``page`` gets what is for the page alone.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        sender: Sender,
        schedule: RetrySchedule,
        tally: Tally | None = None,
        page: PageReceiver | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._outage = Outage(log, "Redis")
        self._page = page
        self._spans = CallbackSpans(deliveries.client, tracing)
        self._deliveries = deliveries
        self._sender = sender
        self._schedule = schedule
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self._claimed: set[str] = set()
        self._may_record = asyncio.Event()
        self._may_record.set()
        self._wake = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._rng = random.Random()
        self._backlog = Backlog(deliveries, self._slots_of, self._begin_and_wait)
        for slots in (sender.slots, sender.resolver.slots):
            slots.on_release = self._backlog.released

    async def run(self, stopped: asyncio.Event) -> None:
        """Deliver until ``stopped`` is set; then end what is under way, or give it back."""
        async with self._sender:
            loops = [
                asyncio.create_task(each)
                for each in (self._take_due(), self._listen(), self._renew_claims())
            ]
            ended = asyncio.create_task(stopped.wait())
            await asyncio.wait([ended, *loops], return_when=asyncio.FIRST_COMPLETED)
            outcomes = await _cancel([ended, *loops])
            await self._stop()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _stop(self) -> None:
        try:
            await self._backlog.stop()
            attempts = dict(self._attempts)
            if attempts:
                await asyncio.wait(attempts.values(), timeout=GRACE_SECONDS)
            unfinished = [task_id for task_id, task in attempts.items() if not task.done()]
            await _cancel(attempts.values())
            await self._backlog.park()
            await self._deliveries.give_back(unfinished)
        except (redis.RedisError, OSError) as error:
            log.warning("Redis: %s; what was under way will be due again", error)

    async def _take_due(self) -> None:
        """Begin what is due, for as long as there is room for it."""
        while True:
            self._wake.clear()
            is_behind = False
            try:
                count = min(TAKE_COUNT, MAX_TASKS - len(self._attempts))
                # What the last round has parked is written together with this one's claims.
                taken, _ = await asyncio.gather(
                    self._deliveries.take(max(0, count)), self._backlog.park()
                )
                await self._begin(taken)
                is_behind = len(taken) > count // 2
                if not is_behind:
                    await self._backlog.park()
                    await self._backlog.find()
                state.beat("callbacks")  # this loop turns, and Redis answers it
                self._outage.ended()
            except (redis.RedisError, OSError) as error:
                self._outage.failed(error)
                await asyncio.sleep(WAIT_SECONDS)
            if not is_behind:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WAIT_SECONDS):
                        await self._wake.wait()

    async def _listen(self) -> None:
        """Wake the others when something was queued."""
        while True:
            with contextlib.suppress(redis.RedisError, OSError):
                async for _ in self._deliveries.listen():
                    self._wake.set()
            await asyncio.sleep(WAIT_SECONDS)

    async def _renew_claims(self) -> None:
        """Keep what is under way from being taken again, however long its receiver takes."""
        while True:
            try:
                self._may_record.clear()
                await self._deliveries.renew(self._claimed)
                await self._deliveries.trim()
            except (redis.RedisError, OSError) as error:
                self._outage.failed(error)
            finally:
                self._may_record.set()
            await asyncio.sleep(self._deliveries.claim_seconds / RENEWALS)

    def _slots_of(self, key: str) -> Slots:
        is_zone = key.startswith(ZONE_PREFIX)
        return self._sender.resolver.slots if is_zone else self._sender.slots

    async def _begin(self, callbacks: Iterable[Callback]) -> list[asyncio.Future[None]]:
        """Begin to deliver callbacks; return what is done when one has a slot, or has ended.

        A few begin in each turn of the event loop, so that those under way go on meanwhile.
        """
        begun: list[asyncio.Future[None]] = []
        for callback in callbacks:
            if callback.task_id in self._attempts:
                continue  # its claim could not be renewed while Redis was away
            is_admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._claimed.add(callback.task_id)
            attempt = asyncio.create_task(self._attempt(callback, is_admitted))
            self._attempts[callback.task_id] = attempt
            begun.append(is_admitted)
            if len(begun) % BEGUN_PER_TURN == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)  # unless a name is looked up, each has a slot or none now
        return begun

    async def _begin_and_wait(self, callbacks: Sequence[Callback]) -> None:
        async with self._one_at_a_time:
            begun = await self._begin(callbacks)
        if begun:
            await asyncio.wait(begun)
        await self._backlog.park()

    async def _attempt(self, callback: Callback, is_admitted: asyncio.Future[None]) -> None:
        started = time.monotonic()
        try:
            sent = await self._send(callback, is_admitted)
            if sent is not None:
                answer, address = sent
                delay = self._next_delay(callback, answer)
                count_attempt(self._tally, address, answer, delay, time.monotonic() - started)
                await self._record(callback, answer, delay)
        except Crowded as crowded:
            self._backlog.add(crowded.key, callback.task_id)
        except (redis.RedisError, OSError) as error:
            self._outage.failed(error)  # the callback will be due again
        except Exception:
            log.exception(
                "Callback of %s; it will be due again", callback.task_id,
                extra=of_task(callback.task_id),
            )  # fmt: skip
        finally:
            self._claimed.discard(callback.task_id)
            del self._attempts[callback.task_id]
            if not is_admitted.done():
                is_admitted.set_result(None)

    async def _send(
        self, callback: Callback, is_admitted: asyncio.Future[None]
    ) -> tuple[Answer, str] | None:
        """Return what a receiver answered and its address, '' for one that none was found for.

        None if there is nothing to send any more.
        """
        if self._page is not None and (token := token_of(callback.uri)):
            return await self._send_to_page(callback, self._page, token)
        try:
            async with self._sender.admit(callback.uri) as destination:
                is_admitted.set_result(None)
                loaded = await self._deliveries.load(callback)
                if loaded is None:
                    return None
                state, body = loaded
                headers = _headers(callback, state)
                async with self._spans.attempt(callback, headers) as attempt:
                    attempt.answer = await self._sender.send(
                        destination, body, message_id=callback.task_id, headers=headers
                    )
                return attempt.answer, destination.address
        except Undeliverable as error:
            return error.answer, ""

    async def _send_to_page(
        self, callback: Callback, page: PageReceiver, token: str
    ) -> tuple[Answer, str] | None:
        loaded = await self._deliveries.load(callback)
        if loaded is None:
            return None
        state, body = loaded
        headers = await self._sender.headers(
            parse_uri(callback.uri), body, callback.task_id, _headers(callback, state)
        )
        return await page.receive(token, headers, body), ""

    def _next_delay(self, callback: Callback, answer: Answer) -> float | None:
        """Return in how many seconds the next attempt is due; None if there is to be none."""
        if answer.is_delivered:
            return None
        age, attempts = callback.current_age(), callback.attempts + 1
        delay = self._schedule.next_delay(attempts, age, answer, self._rng)
        self._log_failure(callback, answer, delay)
        return delay

    async def _record(self, callback: Callback, answer: Answer, delay: float | None) -> None:
        """Store what came of an attempt, however long Redis is away."""
        self._claimed.discard(callback.task_id)
        await self._may_record.wait()  # or a renewal could put the next attempt off
        is_told = False
        while True:
            try:
                await self._deliveries.record(callback, answer, delay)
                return
            except (redis.RedisError, OSError) as error:
                if not is_told:
                    is_told = True
                    log.warning(
                        "Callback of %s cannot be recorded yet: %s", callback.task_id, error,
                        extra=of_task(callback.task_id),
                    )  # fmt: skip
                await asyncio.sleep(WAIT_SECONDS)

    def _log_failure(self, callback: Callback, answer: Answer, delay: float | None) -> None:
        if delay is None:
            log.error(
                "Callback of %s is given up: %s", callback.task_id, answer.error,
                extra=of_task(callback.task_id),
            )  # fmt: skip
        else:
            log.warning(
                "Callback of %s: %s; next try in %.0f s", callback.task_id, answer.error, delay,
                extra=of_task(callback.task_id),
            )  # fmt: skip


def _headers(callback: Callback, state: str) -> dict[str, str]:
    """Return what a callback's head says of its task."""
    return {"Denzel-Task-Id": callback.task_id, "Denzel-Status": state}


async def _cancel(tasks: Iterable[asyncio.Task[object]]) -> list[object]:
    """Cancel tasks and wait for them; return what they returned or raised."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)
