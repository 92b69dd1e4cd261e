"""Run the callbacks service: ``python -m app.runtime.callbacks``."""

from __future__ import annotations

import asyncio
import resource
import signal

from app.runtime import state
from app.runtime.callbacks.deliveries import connect_deliveries
from app.runtime.callbacks.page_receiver import PageReceiver
from app.runtime.callbacks.policy import deployment_policy
from app.runtime.callbacks.schedule import RetrySchedule
from app.runtime.callbacks.sender import UNDER_WAY, UNDER_WAY_PER_RECEIVER, Sender
from app.runtime.callbacks.service import CallbackService
from app.runtime.callbacks.signing import parse_secrets
from app.runtime.callbacks.slots import Slots
from app.runtime.logs import configure_logging
from app.runtime.metrics.recorder import AsyncRecorder
from app.runtime.metrics.tally import Tally
from app.runtime.settings import Settings, load_settings
from app.runtime.tracing import start_tracing

CLAIM_SECONDS = 15.0
"""How long after this service's death what it was sending is sent again."""
SPARE_FILES = 150


def make_sender(settings: Settings, under_way: int = UNDER_WAY) -> Sender:
    """Return a sender with this deployment's policy and secrets."""
    return Sender(
        policy=deployment_policy(settings),
        secrets=parse_secrets(settings.callback_secret),
        total_timeout=settings.callback_timeout,
        slots=Slots(under_way, UNDER_WAY_PER_RECEIVER),
    )


def raise_open_files(wanted: int) -> int:
    """Let this process open so many files, if it may; return how many it may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


async def serve(settings: Settings) -> None:
    """Deliver callbacks until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    under_way = raise_open_files(UNDER_WAY + SPARE_FILES) - SPARE_FILES
    deliveries = connect_deliveries(settings, CLAIM_SECONDS)
    tally = Tally()
    recorder = AsyncRecorder(deliveries.client, tally, "callbacks")
    service = CallbackService(
        deliveries,
        make_sender(settings, max(1, under_way)),
        RetrySchedule(period=settings.callback_retry_seconds),
        tally,
        PageReceiver(deliveries.client) if settings.page else None,
        start_tracing(settings.project_name, "callbacks"),
    )
    state.write_state("callbacks", state.UP)
    await recorder.start()
    await service.run(stopped)
    await recorder.stop()
    await deliveries.close()


def main() -> int:
    """Run the service until it is told to stop."""
    settings = load_settings()
    configure_logging(settings, "callbacks")
    asyncio.run(serve(settings))
    return 0
