"""Before services run: make a project, try its pipeline, bring it up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from denzel import console, operations, scaffold
from denzel.commands.invocation import current_project, interruptible, pip_progress
from denzel.commands.options import (
    SECONDS,
    backend_name,
    backend_options,
    content_type_option,
    json_option,
)
from denzel.templates import NO_EXAMPLE, example_names


@click.command()
@click.argument("name")
@click.option("--gpu/--no-gpu", default=False, show_default=True, help="Make a GPU deployment.")
@click.option(
    "--example",
    type=click.Choice(example_names()),
    default=NO_EXAMPLE,
    show_default=True,
    help="Begin with a finished pipeline and its model.",
)
def startproject(name: str, gpu: bool, example: str) -> None:
    """Build the skeleton of a new project called NAME."""
    scaffold.start_project(Path.cwd(), name, gpu=gpu, example=example)
    console.echo(f"Successfully built {name} project skeleton")
    if example == NO_EXAMPLE:
        console.progress(f"Edit these four files in {name}/, then run `denzel launch` there:")
        for path, meaning in scaffold.USER_FILES.items():
            console.progress(f"    {path:<23} {meaning}")
    else:
        console.progress(
            f"It is ready to serve: run `denzel launch` and `denzel predict` in {name}/"
        )


@click.command()
@click.argument("file", type=click.File("rb"), required=False)
@backend_options
@content_type_option
@click.option(
    "--timeout",
    type=SECONDS,
    default=operations.CHECK_TIMEOUT_SECONDS,
    show_default=True,
    help="How many seconds a step may take before it is ended, and shown where it is.",
)
@click.option(
    "--repeat",
    type=click.IntRange(0, 1_000_000),
    default=0,
    metavar="N",
    help="Predict N times more; show how long that takes, and the memory held.",
)
@json_option
def check(
    file: Any,
    local: bool,
    docker: bool,
    content_type: str | None,
    timeout: float,
    repeat: int,
    as_json: bool,
) -> None:
    """Try the pipeline without services, on a request in FILE.

    FILE may be - for standard input. Without it EXAMPLE of app/logic/pipeline.py is predicted; if
    there is none, the pipeline is imported and the model loaded.
    """
    sample = operations.read_request(file.read(), file.name, content_type) if file else None
    with console.waiting("Trying the pipeline"), pip_progress() as progress:
        report = operations.check(
            current_project(),
            sample,
            backend=backend_name(local, docker),
            timeout=timeout,
            repeat=repeat,
            report=progress,
        )
    if as_json:
        console.print_json(report)
    else:
        console.print_check(report)
    sys.exit(0 if report["ok"] else 1)


@click.command()
def upgrade() -> None:
    """Bring the files denzel owns up to this version.

    Yours are not touched. A project of denzel 0.3 is converted. Running services are restarted.
    """
    with interruptible("run `denzel upgrade` again, then `denzel restart`"):
        console.print_upgrade(operations.upgrade(Path.cwd(), console.progress))
