"""Ask a denzel API for predictions from Python, and check the callbacks it sends.

:class:`Client` blocks, :class:`AsyncClient` is for asyncio (``pip install "denzel[client]"``); both
speak the same protocol, ``protocol.py``.  ``denzel predict`` and ``denzel result`` use Client.
"""

from denzel.client.async_client import AsyncClient, AsyncStream
from denzel.client.callbacks import Callback, verify_callback
from denzel.client.protocol import Task
from denzel.client.sync_client import Client, Stream
from denzel.errors import (
    ApiUnreachable,
    InvalidCallback,
    PredictionError,
    PredictionPending,
    UsageError,
)

__all__ = [
    "ApiUnreachable",
    "AsyncClient",
    "AsyncStream",
    "Callback",
    "Client",
    "InvalidCallback",
    "PredictionError",
    "PredictionPending",
    "Stream",
    "Task",
    "UsageError",
    "verify_callback",
]
