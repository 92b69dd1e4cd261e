"""The callbacks service: delivers predictions to the URIs their requests named.

``python -m app.runtime.callbacks`` takes what is due from Redis and sends it from a few
threads.  What to send, and when, stands in Redis alone (``delivery.py``), so this process may
die at any moment and lose nothing.
"""

from __future__ import annotations

import logging
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import redis

from app.runtime import state
from app.runtime.callbacks.delivery import Callback, Deliveries
from app.runtime.callbacks.policy import deployment_policy
from app.runtime.callbacks.retries import Answer, RetrySchedule
from app.runtime.callbacks.signing import parse_secrets
from app.runtime.callbacks.webhook import Sender
from app.runtime.logs import SERVICE_LOG_FORMAT, configure_logging
from app.runtime.settings import Settings, load_settings

THREADS = 16
RECEIVER_SHARE = 0.5
"""Of the threads, how many one receiver may keep busy: a slow one must not hold up the rest."""
WAIT_SECONDS = 1.0
BUSY_RECEIVER_SECONDS = 0.5
CLAIM_SECONDS = 15.0
"""How long after this service's death what it was sending is sent again."""
RENEWALS = 5
"""How often in that time it says that it lives."""

log = logging.getLogger("denzel.callbacks")


class CallbackService:
    """Delivers what is due until it is told to stop."""

    def __init__(
        self,
        deliveries: Deliveries,
        post: Callable[[Callback], Answer],
        schedule: RetrySchedule,
        threads: int = THREADS,
    ) -> None:
        self._deliveries = deliveries
        self._post = post
        self._schedule = schedule
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="callback")
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._claimed: set[str] = set()
        self._renewed = time.monotonic()
        self._rng = random.Random()

    def run(self, stopped: threading.Event) -> None:
        """Deliver until ``stopped`` is set; then finish what is under way."""
        while not stopped.is_set():
            try:
                self._round()
            except (redis.RedisError, OSError) as error:
                log.warning("Redis: %s", error)
                stopped.wait(WAIT_SECONDS)
        self._pool.shutdown()

    def _round(self) -> None:
        self._renew_claims()
        free = self._threads - self._busy.total()
        taken = self._deliveries.take(free) if free else []
        for callback in taken:
            self._start(callback)
        if not taken:
            self._deliveries.wait(WAIT_SECONDS)

    def _renew_claims(self) -> None:
        """Keep what is being sent from being taken again, however long its receiver takes."""
        if time.monotonic() - self._renewed < self._deliveries.claim_seconds / RENEWALS:
            return
        self._renewed = time.monotonic()
        with self._lock:  # no attempt ends meanwhile, whose next one would be put off
            self._deliveries.renew(self._claimed)

    def _start(self, callback: Callback) -> None:
        receiver = urlsplit(callback.uri).netloc
        with self._lock:
            if callback.task_id in self._claimed:
                return  # its claim could not be renewed while Redis was away
            crowded = self._busy[receiver] >= max(1, int(self._threads * RECEIVER_SHARE))
            self._busy[receiver] += not crowded
            if not crowded:
                self._claimed.add(callback.task_id)
        if crowded:
            self._deliveries.put_back(callback, BUSY_RECEIVER_SECONDS)
        else:
            self._pool.submit(self._attempt, callback, receiver)

    def _attempt(self, callback: Callback, receiver: str) -> None:
        try:
            answer = self._post(callback)
            self._release(callback)
            self._record(callback, answer)
        except (redis.RedisError, OSError) as error:
            log.warning("Callback of %s: %s; it will be due again", callback.task_id, error)
        except Exception:
            log.exception("Callback of %s; it will be due again", callback.task_id)
        finally:
            self._release(callback)
            with self._lock:
                self._busy[receiver] -= 1

    def _release(self, callback: Callback) -> None:
        with self._lock:
            self._claimed.discard(callback.task_id)

    def _record(self, callback: Callback, answer: Answer) -> None:
        if answer.is_delivered:
            self._deliveries.delivered(callback, answer.status or 0)
            return
        age = time.time() - callback.since
        delay = self._schedule.next_delay(callback.attempts + 1, age, answer, self._rng)
        if delay is None:
            log.error("Callback of %s is given up: %s", callback.task_id, answer.error)
            self._deliveries.give_up(callback, answer.status, answer.error)
        else:
            log.warning(
                "Callback of %s: %s; next try in %.0f s", callback.task_id, answer.error, delay
            )
            self._deliveries.postpone(callback, delay, answer.status, answer.error)


def make_post(settings: Settings) -> Callable[[Callback], Answer]:
    """Return the function that makes one attempt, with this deployment's policy and secret."""
    sender = Sender(
        policy=deployment_policy(settings),
        secrets=parse_secrets(settings.callback_secret),
        total_timeout=settings.callback_timeout,
    )

    def post(callback: Callback) -> Answer:
        headers = {"Denzel-Task-Id": callback.task_id, "Denzel-Status": callback.state}
        return sender.send(
            callback.uri, callback.body, message_id=callback.task_id, headers=headers
        )

    return post


def connect_deliveries(settings: Settings) -> Deliveries:
    """Return this deployment's callbacks; no connection is opened yet."""
    client = redis.Redis.from_url(
        settings.redis_url, socket_connect_timeout=2, socket_timeout=10, health_check_interval=25
    )
    return Deliveries(client, claim_seconds=CLAIM_SECONDS, result_ttl=settings.result_ttl)


def main() -> int:
    """Run the service until SIGTERM or SIGINT."""
    settings = load_settings()
    configure_logging(settings.log_level, log_format=SERVICE_LOG_FORMAT)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    schedule = RetrySchedule(period=settings.callback_retry_seconds)
    service = CallbackService(connect_deliveries(settings), make_post(settings), schedule)
    state.write_state("callbacks", state.UP)
    service.run(stopped)
    return 0
