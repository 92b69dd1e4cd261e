"""What concerns the running API's clients: requests, answers, callbacks, keys."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from denzel import apikeys, console, operations
from denzel.commands.invocation import current_project
from denzel.commands.options import (
    SECONDS,
    api_key_option,
    content_type_option,
    json_option,
    output_option,
)
from denzel.errors import PredictionError, PredictionPending
from denzel.project import Project

PREDICT_TIMEOUT_SECONDS = 60.0
SUCCESS = "SUCCESS"
WAITING = "Waiting for the prediction"


timeout_option = click.option(
    "--timeout",
    type=SECONDS,
    default=PREDICT_TIMEOUT_SECONDS,
    show_default=True,
    help="How many seconds to wait at most.",
)


@click.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--async", "asynchronous", is_flag=True, help="Queue it, then wait until it is made.")
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="With --async: wait, or print the task's id and end.",
)
@click.option("--stream", "streams", is_flag=True, help="Print each piece as it comes.")
@content_type_option
@output_option
@timeout_option
@api_key_option
@click.pass_context
def predict(
    ctx: click.Context,
    file: Any,
    asynchronous: bool,
    wait: bool,
    streams: bool,
    content_type: str | None,
    output: Path | None,
    timeout: float,
    api_key: str,
) -> None:
    """Send a request from FILE to the running API.

    It is JSON, or an image, say, where the pipeline has parse_request. FILE may be - for standard
    input. Without it EXAMPLE of app/logic/pipeline.py is sent. The prediction is waited for and
    printed, whatever the response mode is. --stream is for a predict that yields.
    """
    if not (wait or asynchronous):
        raise click.UsageError("--no-wait goes with --async alone", ctx)
    if streams and asynchronous:
        raise click.UsageError("Give one of --stream and --async", ctx)
    project = current_project()
    request = _read_request(project, file, content_type)
    if streams:
        with operations.stream(project, request, timeout=timeout, key=api_key) as pieces:
            for piece in pieces:
                console.print_piece(piece)
        console.print_prediction(pieces.result, output)
        return
    if not asynchronous:
        with console.waiting(WAITING):
            answer = operations.predict(project, request, timeout=timeout, key=api_key)
        console.print_prediction(answer, output)
        return
    task_id = operations.submit(project, request, key=api_key)
    if not wait:
        console.echo(task_id)
        return
    console.progress(f"Queued as task {task_id}; waiting for it")
    with console.waiting(WAITING):
        answer = operations.result(project, task_id, wait=timeout, key=api_key)
    console.print_prediction(answer, output)


def _read_request(project: Project, file: Any, content_type: str | None) -> operations.RequestBody:
    """Return what is to be sent: a file, or the pipeline's EXAMPLE."""
    if file:
        return operations.read_request(file.read(), file.name, content_type)
    with console.waiting("Asking the pipeline for its EXAMPLE"):
        return operations.example(project)


@click.command()
@click.argument("task")
@click.option("--wait", is_flag=True, help="Wait until it is made.")
@output_option
@timeout_option
@json_option
@api_key_option
def result(
    task: str, wait: bool, output: Path | None, timeout: float, as_json: bool, api_key: str
) -> None:
    """Print the prediction of an asynchronous request.

    TASK is the id that /predict answered. --json prints all that is known of it. The exit code is 3
    while it is not made yet, and 4 when it failed or is unknown.
    """
    project = current_project()
    seconds = timeout if wait else 0.0
    if not as_json:
        with console.waiting(WAITING):
            answer = operations.result(project, task, wait=seconds, key=api_key)
        console.print_prediction(answer, output)
        return
    with console.waiting(WAITING):
        known = operations.task(project, task, wait=seconds, key=api_key)
    console.print_json(asdict(known))
    if known.state != SUCCESS:
        sys.exit(PredictionError.exit_code if known.ended else PredictionPending.exit_code)


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
@click.argument("name", required=False)
@click.option("--list", "listing", is_flag=True, help="Print the names of the keys there are.")
@click.option("--remove", metavar="NAME", help="Take a key back.")
@json_option
@click.pass_context
def apikey(
    ctx: click.Context, name: str | None, listing: bool, remove: str | None, as_json: bool
) -> None:
    """Make an API key called NAME and print it.

    .env keeps its hash alone. With --json, --list prints a list.
    """
    if [name is not None, listing, remove is not None].count(True) != 1:
        raise click.UsageError("Give one of NAME, --list and --remove NAME", ctx)
    project = current_project()
    if listing:
        names = apikeys.key_names(project)
        if as_json:
            console.print_json(names)
        elif names:
            console.echo("\n".join(names))
        else:
            console.progress("There are no API keys: whoever reaches the API may use it")
    elif remove is not None:
        apikeys.remove_key(project, remove)
        console.progress(
            f"The key {remove} is refused from the next `denzel reload` or `denzel restart` on"
        )
        if not apikeys.key_names(project):
            console.progress("It was the last one: the API will ask nobody for a key")
    elif name is not None:
        console.echo(apikeys.add_key(project, name))
        console.progress(
            "This key cannot be shown again. It is valid from the next `denzel reload` or "
            "`denzel restart` on"
        )
