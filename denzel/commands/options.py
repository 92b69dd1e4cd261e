"""Options and types that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from denzel.errors import UsageError

READY_TIMEOUT_SECONDS = 900.0


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 alone
    """A finite number of seconds above zero."""

    name = "float"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return ``value`` as seconds, or fail as click's own types do."""
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        if not (math.isfinite(seconds) and seconds > 0):
            self.fail(f"{value!r} is not a number of seconds above 0", param, ctx)
        return seconds


PORT = click.IntRange(1, 65535)
SECONDS = Seconds()

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
api_key_option = click.option(
    "--api-key",
    envvar="DENZEL_API_KEY",
    show_envvar=True,
    default="",
    help="The key, where the API asks for one.",
)
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the prediction to this file.",
)
content_type_option = click.option(
    "--content-type",
    metavar="TYPE",
    help="What FILE is, where its name does not tell: image/jpeg, for example.",
)
live_option = click.option(
    "--live/--no-live", default=False, show_default=True, help="Keep watching until Ctrl-C."
)
tail_option = click.option(
    "--tail", type=click.IntRange(min=0), help="Begin this many lines before the end."
)
ready_timeout_option = click.option(
    "--timeout",
    type=SECONDS,
    default=READY_TIMEOUT_SECONDS,
    show_default=True,
    help="How many seconds --wait waits at most.",
)


def wait_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --wait and --timeout."""
    wait = click.option(
        "--wait/--no-wait", default=False, show_default=True, help="Wait until it is ready."
    )
    return wait(ready_timeout_option(command))


def backend_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --local and --docker, of which one may be given."""
    local = click.option("--local", is_flag=True, help="Use local processes, without Docker.")
    docker = click.option("--docker", is_flag=True, help="Use Docker.")
    return local(docker(command))


def backend_name(local: bool, docker: bool) -> str | None:
    """Return the backend that the options name; None when they name none."""
    if local and docker:
        raise UsageError("--local and --docker exclude each other; give one, or none")
    return "local" if local else "docker" if docker else None
