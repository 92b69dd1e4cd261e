"""Show what denzel does."""

from __future__ import annotations

from pathlib import Path

import click

from denzel import demo as show
from denzel.commands.invocation import interruptible
from denzel.commands.options import PORT, backend_name, backend_options


@click.command()
@click.option("--shutdown", "ending", is_flag=True, help="End a running demo.")
@backend_options
@click.option(
    "--api-port", type=PORT, show_default="8000, or the next free one", help="Port of the API."
)
@click.option(
    "--monitor-port", type=PORT, show_default="5555, or the next free one",
    help="Port of the monitor.",
)  # fmt: skip
def demo(
    ending: bool, local: bool, docker: bool, api_port: int | None, monitor_port: int | None
) -> None:
    """Serve an iris classifier and ask it for two predictions.

    The project is ./denzel_demo; it is left running.
    """
    if ending:
        show.end(Path.cwd())
        return
    backend = backend_name(local, docker)
    with interruptible("`denzel demo --shutdown` ends what was started"):
        show.run(Path.cwd(), backend=backend, api_port=api_port, monitor_port=monitor_port)
