"""The life of a deployment, from launch to shutdown."""

from __future__ import annotations

import click

from denzel import console, operations
from denzel.commands.invocation import (
    RESTARTING,
    current_deployment,
    current_project,
    interruptible,
    pip_progress,
    wait_until_ready,
)
from denzel.commands.options import (
    PORT,
    backend_name,
    backend_options,
    ready_timeout_option,
)


@click.command()
@click.option(
    "--api-port", type=PORT, show_default="8000, or what .env says", help="Port of the API."
)
@click.option(
    "--monitor-port", type=PORT, show_default="5555, or what .env says", help="Port of the monitor."
)
@backend_options
@click.option("--wait/--no-wait", default=False, show_default=True, help="Wait until it is ready.")
@ready_timeout_option
def launch(
    api_port: int | None,
    monitor_port: int | None,
    local: bool,
    docker: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Build and start all services."""
    project = current_project()
    backend = backend_name(local, docker)
    with interruptible("`denzel shutdown` removes what was started"):
        deployment = operations.launch(
            project,
            backend=backend,
            api_port=api_port,
            monitor_port=monitor_port,
            report=console.progress,
        )
    if wait:
        console.print_status(wait_until_ready(project, timeout), as_json=False)
    else:
        console.progress("The services are starting; `denzel status --live` shows how far they are")
    console.progress(f"API: {deployment.api_url}  Monitor: {deployment.monitor_url}")


@click.command()
def start() -> None:
    """Start the stopped services."""
    operations.start(current_project(), report=console.progress)


@click.command()
def stop() -> None:
    """Stop the services; queue, results and response mode stay."""
    operations.stop(current_deployment(), report=console.progress)


@click.command()
def restart() -> None:
    """Stop and start the services: changed code takes effect."""
    with interruptible(RESTARTING), pip_progress() as report:
        operations.restart(current_project(), report=report)


@click.command()
@click.option(
    "--purge/--no-purge",
    default=False,
    show_default=True,
    help="Also remove volumes, built images and installed packages.",
)
def shutdown(purge: bool) -> None:
    """Stop and remove all services; the project's files stay."""
    operations.shutdown(current_deployment(), purge=purge, report=console.progress)
