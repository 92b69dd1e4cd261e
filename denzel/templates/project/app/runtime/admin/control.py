"""Change a running deployment, for the command line.

``python -m app.runtime.admin callbacks`` prints the undelivered callbacks as JSON; ``--retry``
sends some again and ``--drop`` forgets some, and print how many.
"""

from __future__ import annotations

import argparse
import sys

import orjson
import redis

from app.runtime.callbacks.undelivered import Undelivered
from app.runtime.settings import Settings, load_settings

ALL = "all"


class ControlError(Exception):
    """The change could not be made, or not be confirmed; the text says which."""


def manage_callbacks(settings: Settings, arguments: argparse.Namespace) -> None:
    """Do what ``callbacks`` was asked for; print JSON.

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
