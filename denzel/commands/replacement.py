"""Replace what runs, while requests are answered."""

from __future__ import annotations

import sys

import click

from denzel import console, operations
from denzel.commands.invocation import current_project, interruptible
from denzel.commands.options import SECONDS, json_option

UNCHANGED = "services go on as they were; `denzel restart` puts right what does not"
"""What an interrupted replacement leaves behind."""

stop_first_option = click.option(
    "--stop-first",
    is_flag=True,
    help="Load the model only when the old one is gone: for two that do not fit into memory.",
)
step_timeout_option = click.option(
    "--timeout",
    type=SECONDS,
    default=3600.0,
    show_default=True,
    help="How many seconds a step of the trial may take.",
)


@click.command()
@stop_first_option
@step_timeout_option
def reload(stop_first: bool, timeout: float) -> None:
    """Take up changed files without downtime, if they work.

    Code, model, requirements and settings are tried beside the running services, which go on
    if anything fails.
    """
    project = current_project()
    with interruptible(UNCHANGED):
        result = operations.reload(
            project, stop_first=stop_first, timeout=timeout, report=console.progress
        )
    if not result.is_new:
        console.echo(f"Nothing has changed since version {result.version}, which serves")
        console.progress(
            "Changes of ports, images, Redis and HTTPS in .env are not looked at: `denzel restart` "
            "takes them up, of ports and images the next launch"
        )
        return
    _show(result)


@click.command()
@click.argument("version", type=click.IntRange(1), required=False)
@stop_first_option
@step_timeout_option
def rollback(version: int | None, stop_first: bool, timeout: float) -> None:
    """Go back to an earlier version without downtime.

    By default it is the last one before the present one that worked. Your own files are not
    touched.
    """
    project = current_project()
    with interruptible(UNCHANGED):
        result = operations.rollback(
            project, version, stop_first=stop_first, timeout=timeout, report=console.progress
        )
    _show(result)


@click.command()
@json_option
def versions(as_json: bool) -> None:
    """List the versions that one can go back to.

    The one that serves has a star.
    """
    found, served, size = operations.versions(current_project())
    console.print_versions(found, served, size, as_json=as_json)


def _show(result: operations.Replacement) -> None:
    if result.check is not None:
        console.print_check(result.check)
        console.progress(f"Nothing was changed: version {result.version} goes on")
        sys.exit(1)
    console.echo(f"Version {result.version} serves")
