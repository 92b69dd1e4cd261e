"""What the callbacks service counts: attempts, by outcome and by where the receiver is."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from app.runtime.callbacks.schedule import Answer
from app.runtime.metrics.table import CALLBACK_SECONDS, CALLBACKS
from app.runtime.metrics.tally import Tally

DELIVERED, RETRIED, GIVEN_UP = "delivered", "retried", "given_up"
UNKNOWN = "unknown"
"""Where a receiver is whose name led to no address that may be connected to."""


@lru_cache(maxsize=1024)
def address_class(address: str) -> str:
    """Return what kind of address it is: loopback, private or public; '' is unknown."""
    if not address:
        return UNKNOWN
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return "loopback"
    return "public" if ip.is_global else "private"


def count_attempt(
    tally: Tally, address: str, answer: Answer, delay: float | None, seconds: float
) -> None:
    """Count an attempt that took so many seconds; ``delay`` is that of the next, None for none."""
    outcome = DELIVERED if answer.is_delivered else GIVEN_UP if delay is None else RETRIED
    receiver = address_class(address)
    tally.count(CALLBACKS, outcome, receiver)
    tally.observe(CALLBACK_SECONDS, seconds, receiver)
