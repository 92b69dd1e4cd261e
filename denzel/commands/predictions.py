"""What concerns the running API's clients: requests, answers, callbacks, keys."""

from __future__ import annotations

from typing import Any

import click

from denzel import apikeys, console, operations
from denzel.commands.invocation import current_project
from denzel.commands.options import SECONDS, json_option

PREDICT_TIMEOUT_SECONDS = 60.0


@click.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--async", "asynchronous", is_flag=True, help="Queue it, then ask until it is made.")
@click.option(
    "--timeout",
    type=SECONDS,
    default=PREDICT_TIMEOUT_SECONDS,
    show_default=True,
    help="How many seconds to wait at most.",
)
@click.option(
    "--api-key",
    envvar="DENZEL_API_KEY",
    show_envvar=True,
    default="",
    help="The key, where the API asks for one.",
)
def predict(file: Any, asynchronous: bool, timeout: float, api_key: str) -> None:
    """Send the JSON in FILE to the running API.

    FILE may be - for standard input. Without it EXAMPLE of app/logic/pipeline.py is sent. The
    answer is printed.
    """
    project = current_project()
    answer = operations.predict(
        project,
        file.read() if file else operations.example(project),
        source=file.name if file else "EXAMPLE",
        wait_async=asynchronous,
        timeout=timeout,
        key=api_key,
        waiting=lambda task, state: console.progress(f"{task}: {state}"),
    )
    console.print_json(answer.value)


@click.command()
@click.option("--sync", "synchronous", is_flag=True, help="Answer with the prediction.")
@click.option(
    "--async", "asynchronous", is_flag=True, help="Answer at once; send the prediction later."
)
@click.option(
    "--timeout",
    type=SECONDS,
    default=5.0,
    show_default=True,
    help="How many seconds a synchronous answer may take.",
)
@click.pass_context
def response(ctx: click.Context, synchronous: bool, asynchronous: bool, timeout: float) -> None:
    """Choose how /predict answers from now on.

    One of --sync and --async is required.
    """
    if synchronous == asynchronous:
        raise click.UsageError("Give one of --sync and --async", ctx)
    given = ctx.get_parameter_source("timeout") is not click.core.ParameterSource.DEFAULT
    if asynchronous and given:
        raise click.UsageError("--timeout goes with --sync alone", ctx)
    operations.set_response(current_project(), synchronous=synchronous, timeout=timeout)
    kind = f"synchronous, within {timeout:g} s" if synchronous else "asynchronous"
    console.echo(f"Responses are {kind} from now on")


@click.command()
@json_option
@click.option("--retry", metavar="ID|all", help="Send it again, or all of them.")
@click.option("--drop", metavar="ID|all", help="Forget it, or all of them.")
@click.pass_context
def callbacks(ctx: click.Context, as_json: bool, retry: str | None, drop: str | None) -> None:
    """List undelivered callbacks, retry or drop them."""
    project = current_project()
    if retry and drop:
        raise click.UsageError("Give one of --retry and --drop", ctx)
    if retry:
        console.echo(f"{operations.retry_callbacks(project, retry)} will be sent again")
    elif drop:
        console.echo(f"{operations.drop_callbacks(project, drop)} dropped")
    else:
        console.print_callbacks(operations.undelivered_callbacks(project), as_json=as_json)


@click.command()
@click.argument("name")
def apikey(name: str) -> None:
    """Make an API key called NAME and print it.

    .env keeps its hash alone.
    """
    console.echo(apikeys.add_key(current_project(), name))
    console.progress("This key cannot be shown again. It is valid from `denzel restart` on")
