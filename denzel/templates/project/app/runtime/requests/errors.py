"""Why a request cannot be accepted, found or cancelled; the API turns these into answers."""

from __future__ import annotations


class RequestError(Exception):
    """A request could not be handled; the text says why."""


class QueueUnavailable(RequestError):
    """Redis cannot be asked, or has not confirmed in time."""


class NotReplicated(Exception):
    """Too few replicas of Redis have a request in time; it is answered as not confirmed."""


class QueueFull(QueueUnavailable):
    """MAX_QUEUE requests wait, or Redis has little memory left."""


class WorkerLost(QueueUnavailable):
    """The workers that had a synchronous request died, more than once."""


class KeyReused(RequestError):
    """An Idempotency-Key came with another body before."""


class NotCancelled(RequestError):
    """The request has ended, or cannot be stopped now; ``state`` tells where it is."""

    def __init__(self, reason: str, state: str) -> None:
        super().__init__(reason)
        self.state = state


# What is known of a request when Redis fails.  No address or path of a service's own is shown.
NOT_REACHED = "Redis cannot be reached; nothing was queued"
NOT_CONFIRMED = (
    "Redis did not answer, so the request may have been queued; sending it again is safe with the "
    "same Idempotency-Key"
)
NOT_REPLICATED = (
    "Too few replicas of Redis have confirmed the request (REDIS_WAIT_REPLICAS); it may be "
    "predicted all the same, and sending it again is safe with the same Idempotency-Key"
)
REFUSED = "Redis refuses to store requests now; nothing was queued"
NOT_READ = "Redis cannot be reached; ask again"
LOST = "Redis was lost while the request was waited for; it may have been predicted all the same"
MEMORY_FULL = "Redis has no memory left (REDIS_MAX_MEMORY); nothing was queued"
