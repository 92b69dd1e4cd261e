"""Run several workers, or several times the API."""

from __future__ import annotations

from dataclasses import asdict

import click

from denzel import console, operations
from denzel.commands.invocation import current_project, interruptible, wait_until_ready
from denzel.commands.options import json_option, wait_options

AGAIN = "`denzel scale` shows what runs: run it again with the numbers you want"


@click.command()
@click.argument("services", metavar="[SERVICE=NUMBER]...", nargs=-1)
@json_option
@wait_options
def scale(services: tuple[str, ...], as_json: bool, wait: bool, timeout: float) -> None:
    """Run several workers or APIs: denzel=3 api=2.

    Without SERVICE=NUMBER, show how many there are. The numbers are kept in .env: WORKER_REPLICAS
    and API_REPLICAS.
    """
    project = current_project()
    if services:
        with interruptible(AGAIN):
            wanted = operations.scaled(services)
            operations.scale(project, wanted, report=console.progress)
        if wait:
            wait_until_ready(project, timeout)
    found = operations.replicas(project)
    if as_json:
        console.print_json([asdict(each) for each in found])
        return
    for each in found:
        console.echo(f"{each.service}={each.wanted} ({each.running} running)")
