"""From one machine to many: files that Docker Swarm or Kubernetes deploys the project from."""

from __future__ import annotations

from pathlib import Path

import click

from denzel import console, operations
from denzel.commands.invocation import current_project


@click.command()
@click.argument("target", type=click.Choice(operations.EXPORT_TARGETS))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--image",
    default="",
    metavar="REGISTRY/NAME:TAG",
    show_default="RELEASE_IMAGE in .env",
    help="Image that the machines pull.",
)
@click.option("--namespace", help="Namespace in Kubernetes; made from the project's name else.")
@click.option("--force", is_flag=True, help="Replace what an earlier export wrote there.")
def export(target: str, directory: Path, image: str, namespace: str | None, force: bool) -> None:
    """Write what Swarm or Kubernetes deploys the project from.

    DIRECTORY is new or empty, and not in the project. The image is one that `denzel build --push`
    pushed.
    """
    exported = operations.write_export(
        current_project(),
        target,
        directory,
        image=image,
        namespace=namespace,
        force=force,
        report=console.progress,
    )
    console.echo(f"Successfully exported to {exported.directory}")
    console.progress(f"Deploy it with: {exported.deploy}")
