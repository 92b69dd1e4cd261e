"""The life of a deployment, from launch to shutdown."""

from __future__ import annotations

import sys

import click

from denzel import console, operations
from denzel.commands.invocation import (
    RESTARTING,
    current_deployment,
    current_project,
    interruptible,
    pip_progress,
    show_readiness,
)
from denzel.commands.options import (
    PORT,
    backend_name,
    backend_options,
    wait_options,
)


@click.command()
@click.option(
    "--api-port", type=PORT, show_default="8000, or what .env says", help="Port of the API."
)
@click.option(
    "--monitor-port", type=PORT, show_default="5555, or what .env says", help="Port of the monitor."
)
@backend_options
@click.option("--with-metrics", is_flag=True, help="Also run Prometheus and Grafana, in Docker.")
@click.option(
    "--image",
    metavar="NAME:TAG",
    help="Run this image, which `denzel build` made, in place of the project's files.",
)
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Try the pipeline in another image before it takes the place of the one that serves.",
)
@wait_options
def launch(
    api_port: int | None,
    monitor_port: int | None,
    local: bool,
    docker: bool,
    with_metrics: bool,
    image: str | None,
    check: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Build and start all services.

    With --image also moves services that run from one image to another one.
    """
    project = current_project()
    backend = backend_name(local, docker)
    with interruptible("`denzel shutdown` removes what was started"):
        deployment = operations.launch(
            project,
            backend=backend,
            api_port=api_port,
            monitor_port=monitor_port,
            with_metrics=with_metrics,
            image=image,
            try_image=check,
            report=console.progress,
        )
    if deployment.check is not None:
        console.print_check(deployment.check)
        console.progress(f"The pipeline does not work in {image}: {project.launch.image} goes on")
        sys.exit(1)
    if wait:
        show_readiness(project, timeout)
    else:
        console.progress("The services are starting; `denzel status --live` shows how far they are")
    grafana = f"  Grafana: {deployment.grafana_url}" if deployment.grafana_url else ""
    console.progress(f"API: {deployment.api_url}  Monitor: {deployment.monitor_url}{grafana}")


@click.command()
@wait_options
def start(wait: bool, timeout: float) -> None:
    """Start the stopped services."""
    project = current_project()
    with interruptible("`denzel start` again starts what does not run"):
        operations.start(project, report=console.progress)
    if wait:
        show_readiness(project, timeout)


@click.command()
def stop() -> None:
    """Stop the services; queue, results and response mode stay."""
    project = current_deployment()
    with interruptible("`denzel stop` again stops what still runs"):
        operations.stop(project, report=console.progress)


@click.command()
@wait_options
def restart(wait: bool, timeout: float) -> None:
    """Stop and start the services: changed code takes effect."""
    project = current_project()
    with interruptible(RESTARTING), pip_progress() as report:
        operations.restart(project, report=report)
    if wait:
        show_readiness(project, timeout)


@click.command()
@click.option(
    "--purge/--no-purge",
    default=False,
    show_default=True,
    help="Also remove volumes, built images and installed packages.",
)
def shutdown(purge: bool) -> None:
    """Stop and remove all services; the project's files stay."""
    project = current_deployment()
    with interruptible("`denzel shutdown` again removes what is left"):
        operations.shutdown(project, purge=purge, report=console.progress)
