"""Set how ``/predict`` answers: ``python -m app.runtime.admin response --sync --timeout 5``.

Needs the standard library alone, so that it works from the moment Redis does, while the services
are still installing what they need.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from uuid import uuid4

from app.runtime.redis_socket import RedisConnection
from app.runtime.resp import RedisRefused
from app.runtime.settings import load_settings
from app.runtime.store.keys import RESPONSE_KEY, control_channel, receipt_key

CONNECT_SECONDS = 2.0
RECEIPT_SECONDS = 5.0
DEFAULT_TIMEOUT_SECONDS = 5.0


class NotConfirmed(Exception):
    """The mode is stored, but an API process has not said that it obeys; the text says so."""


def set_response_mode(
    redis: RedisConnection, database: int, *, is_async: bool, timeout: float
) -> None:
    """Store the mode and wait until every API process that runs has confirmed that it obeys.

    One that starts later reads what is stored.  Raises NotConfirmed.
    """
    mode = {"is_async": is_async, "timeout": timeout}
    receipt = receipt_key(uuid4().hex)
    redis.ask("SET", RESPONSE_KEY, json.dumps(mode))
    expected = redis.ask(
        "PUBLISH", control_channel(database), json.dumps({**mode, "receipt": receipt})
    )
    deadline = time.monotonic() + RECEIPT_SECONDS
    for _ in range(expected if isinstance(expected, int) else 0):
        left = deadline - time.monotonic()
        waited = left > 0 and redis.ask("BLPOP", receipt, f"{left:.3f}", timeout=left + 1)
        if not waited:
            raise NotConfirmed(
                "the change is stored, but an API process has not confirmed it yet; "
                "`denzel restart` makes sure"
            )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:  # False for NaN, too
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return seconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.runtime.admin response")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--async", dest="is_async", action="store_true")
    mode.add_argument("--sync", dest="is_async", action="store_false")
    parser.add_argument("--timeout", type=_seconds, default=DEFAULT_TIMEOUT_SECONDS)
    return parser.parse_args(sys.argv[2:])


def main() -> int:
    """Do what the arguments ask for; 0 when it is done."""
    arguments = _arguments()
    try:
        address = load_settings().redis
        with RedisConnection(address, CONNECT_SECONDS) as redis:
            set_response_mode(
                redis, address.database, is_async=arguments.is_async, timeout=arguments.timeout
            )
    except NotConfirmed as error:
        problem = str(error)
    except RedisRefused as error:
        problem = f"Redis refuses: {error}"
    except OSError as error:
        problem = f"Redis does not answer ({error}); try again when `denzel status` shows it UP"
    else:
        return 0
    print(f"Response mode: {problem}", file=sys.stderr)
    return 1
