"""Look at a deployment: its state, its logs, its inside."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import asdict

import click

from denzel import console, operations
from denzel.commands.invocation import (
    current_deployment,
    current_project,
    until_interrupted,
    wait_until_ready,
)
from denzel.commands.options import (
    api_key_option,
    json_option,
    live_option,
    ready_timeout_option,
    tail_option,
)
from denzel.live import LiveView
from denzel.services import HTTPS, METRICS_SERVICES, SERVICES
from denzel.stats_view import stats_lines


@click.command()
@live_option
@json_option
@click.option("--wait", is_flag=True, help="Wait until every line says UP.")
@ready_timeout_option
def status(live: bool, as_json: bool, wait: bool, timeout: float) -> None:
    """Show the state of the services and the worker."""
    project = current_project()
    if live:
        with until_interrupted():
            console.print_live(operations.statuses(project), as_json=as_json)
        return
    current = wait_until_ready(project, timeout) if wait else operations.status(project)
    console.print_status(current, as_json=as_json)


@click.command()
@click.option(
    "--live/--no-live",
    default=True,
    show_default=True,
    help="Keep watching until Ctrl-C, or print the figures of two seconds.",
)
@json_option
@api_key_option
def stats(live: bool, as_json: bool, api_key: str) -> None:
    """Show rates, times, queues and processes.

    Of the last 20 seconds, and as a small plot of the last minute. --json prints a document a line.
    """
    figures = operations.figures(current_project(), key=api_key)
    if not live:
        figures = itertools.islice(figures, 1, 2)
    view = LiveView()
    with until_interrupted():
        for each in figures:
            if as_json:
                console.echo(json.dumps(asdict(each) if each else None))
            else:
                view.show(stats_lines(each) if each else ["The API does not answer; trying again"])


@click.command()
@click.option(
    "--service",
    type=click.Choice([*sorted((*SERVICES, HTTPS, *METRICS_SERVICES)), "all"]),
    default="all",
    show_default=True,
    help="Show one service alone.",
)
@live_option
@tail_option
def logs(service: str, live: bool, tail: int | None) -> None:
    """Show what the services print."""
    name = None if service == "all" else service
    with until_interrupted():
        lines = operations.logs(current_deployment(), name, follow=live, tail=tail)
        console.print_logs((line.service, line.text) for line in lines)


@click.command()
@live_option
@tail_option
def logworker(live: bool, tail: int | None) -> None:
    """Show the worker's log file, logs/worker.log."""
    with until_interrupted():
        for line in operations.worker_log(current_deployment(), follow=live, tail=tail):
            console.echo(line)


@click.command()
@click.option(
    "--service",
    type=click.Choice(sorted(SERVICES)),
    default="denzel",
    show_default=True,
    help="Where to open it.",
)
@click.option("--root", is_flag=True, help="As root, to try what requirements.sh may do.")
def shell(service: str, root: bool) -> None:
    """Open an interactive bash in a service."""
    sys.exit(operations.shell(current_project(), service, root=root))
