"""Completion of commands in the user's shell."""

from __future__ import annotations

import os
from pathlib import PurePath

import click
from click.shell_completion import get_completion_class

from denzel import console

SHELLS = ("bash", "zsh", "fish")
PROGRAM, VARIABLE = "denzel", "_DENZEL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print a completion script for bash, zsh or fish.

    By default for the shell that $SHELL names.
    """
    name = shell or PurePath(os.environ.get("SHELL", "")).name
    kind = get_completion_class(name) if name in SHELLS else None
    if kind is None:
        raise click.UsageError(f"Give one of {', '.join(SHELLS)}", ctx)
    console.echo(kind(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
