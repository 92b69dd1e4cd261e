"""Change a running deployment, for the command line.

``python -m app.runtime.admin response --sync --timeout 5`` sets how ``/predict`` answers;
``… callbacks`` prints the undelivered callbacks as JSON, ``--retry`` sends some again and
``--drop`` forgets some, and print how many.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from uuid import uuid4

import orjson
import redis

from app.runtime.callbacks.undelivered import Undelivered
from app.runtime.contract import DEFAULT_TIMEOUT_SECONDS, ResponseMode
from app.runtime.settings import Settings, load_settings
from app.runtime.store.codecs import encode_response_mode
from app.runtime.store.keys import CONTROL_CHANNEL, RESPONSE_KEY

RECEIPT_TIMEOUT_SECONDS = 5.0
ALL = "all"


class ControlError(Exception):
    """The change could not be made, or not be confirmed; the text says which."""


def set_response_mode(client: redis.Redis, mode: ResponseMode) -> None:
    """Store the mode and wait until every API process has confirmed that it obeys.

    Raises ControlError when no API process listens (nothing is changed then) or one does not
    confirm in time.
    """
    if not dict(client.pubsub_numsub(CONTROL_CHANNEL)).get(CONTROL_CHANNEL.encode()):
        raise ControlError("the API is not running; nothing was changed")
    receipt = f"denzel:receipt:{uuid4().hex}"
    announcement = {**orjson.loads(encode_response_mode(mode)), "receipt": receipt}
    client.set(RESPONSE_KEY, encode_response_mode(mode))
    expected = client.publish(CONTROL_CHANNEL, orjson.dumps(announcement))
    deadline = time.monotonic() + RECEIPT_TIMEOUT_SECONDS
    for _ in range(expected):
        left = deadline - time.monotonic()
        if left <= 0 or client.blpop([receipt], timeout=left) is None:
            raise ControlError(
                "the change is stored, but an API process has not confirmed it yet; "
                "`denzel restart` makes sure"
            )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:  # False for NaN, too
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return seconds


def change_response(settings: Settings, arguments: argparse.Namespace) -> None:
    """Do what ``control response`` was asked for."""
    client = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=2)
    set_response_mode(client, ResponseMode(arguments.is_async, arguments.timeout))


def manage_callbacks(settings: Settings, arguments: argparse.Namespace) -> None:
    """Do what ``control callbacks`` was asked for; print JSON.

    Raises ControlError for an id without a callback.
    """
    undelivered = Undelivered.connect(settings)
    change, wanted = None, ALL
    if arguments.retry is not None:
        change, wanted = undelivered.retry, arguments.retry
    elif arguments.drop is not None:
        change, wanted = undelivered.drop, arguments.drop
    if change is None:
        print(orjson.dumps(undelivered.describe_all()).decode())
        return
    task_ids = [wanted]
    if wanted == ALL:
        task_ids = undelivered.task_ids()
    count = change(task_ids)
    if wanted != ALL and not count:
        raise ControlError(f"there is no callback of a task {wanted}")
    print(orjson.dumps({"count": count}).decode())


def parse_arguments() -> argparse.Namespace:
    """Return what the program was called with."""
    parser = argparse.ArgumentParser(prog="python -m app.runtime.admin")
    commands = parser.add_subparsers(required=True)
    response = commands.add_parser("response")
    response.set_defaults(run=change_response, subject="Response mode")
    mode = response.add_mutually_exclusive_group(required=True)
    mode.add_argument("--async", dest="is_async", action="store_true")
    mode.add_argument("--sync", dest="is_async", action="store_false")
    response.add_argument("--timeout", type=_seconds, default=DEFAULT_TIMEOUT_SECONDS)
    callbacks = commands.add_parser("callbacks")
    callbacks.set_defaults(run=manage_callbacks, subject="Callbacks")
    change = callbacks.add_mutually_exclusive_group()
    change.add_argument("--retry", metavar=f"ID|{ALL}")
    change.add_argument("--drop", metavar=f"ID|{ALL}")
    return parser.parse_args()


def main() -> int:
    """Do what the arguments ask for; 0 when it is done."""
    arguments = parse_arguments()
    try:
        arguments.run(load_settings(), arguments)
    except (ControlError, redis.RedisError) as error:
        print(f"{arguments.subject}: {error}", file=sys.stderr)
        return 1
    return 0
