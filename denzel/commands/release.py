"""Make an image in which the whole project is."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from denzel import console, operations
from denzel.commands.invocation import current_project, interruptible
from denzel.commands.options import SECONDS, json_option


@click.command()
@click.option(
    "--tag",
    metavar="REGISTRY/NAME:TAG",
    show_default="RELEASE_IMAGE in .env, or the project's name and git's revision",
    help="Name of the image.",
)
@click.option("--push", is_flag=True, help="Also push it to the registry in its name.")
@click.option(
    "--platform",
    "platforms",
    metavar="OS/ARCH",
    multiple=True,
    show_default="this machine's",
    help="What it is built for, such as linux/arm64; may be given several times.",
)
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Try the pipeline in the image before it gets its name.",
)
@click.option(
    "--timeout",
    type=SECONDS,
    default=operations.CHECK_TIMEOUT_SECONDS,
    show_default=True,
    help="How many seconds a step of the trial may take.",
)
@json_option
def build(
    tag: str | None,
    push: bool,
    platforms: tuple[str, ...],
    check: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Build an image with code, model and packages in it.

    It serves on any machine with Docker, and changes no more: `denzel launch --image` runs it.
    """
    wanted = [each for text in platforms for each in text.split(",") if each]
    with interruptible("nothing got the image's name, and nothing was pushed"):
        release = operations.build(
            current_project(),
            tag=tag,
            push=push,
            platforms=wanted,
            check=check,
            timeout=timeout,
            report=console.progress,
        )
    if release.check is not None:
        console.print_check(release.check)
        console.progress(f"The pipeline does not work in the image: there is no {release.image}")
        sys.exit(1)
    if as_json:
        console.print_json({key: value for key, value in asdict(release).items() if key != "check"})
    else:
        console.print_release(release)
