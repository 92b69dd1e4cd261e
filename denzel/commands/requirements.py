"""Bring what the project requires into the services."""

from __future__ import annotations

import click

from denzel import operations
from denzel.commands.invocation import (
    RESTARTING,
    current_project,
    interruptible,
    pip_progress,
    show_readiness,
)
from denzel.commands.options import wait_options


@click.command()
@wait_options
def updatepipreqs(wait: bool, timeout: float) -> None:
    """Install requirements.txt, then restart.

    The packages are installed beside those in use, and upgraded where they are there. What pip
    changed is shown; logs/requirements.log has all it said.
    """
    _update(pip=True, os=False, wait=wait, timeout=timeout)


@click.command()
@wait_options
def updateosreqs(wait: bool, timeout: float) -> None:
    """Run requirements.sh, then restart.

    All of it is run with bash, as root, in the running services.
    """
    _update(pip=False, os=True, wait=wait, timeout=timeout)


@click.command()
@wait_options
def updatereqs(wait: bool, timeout: float) -> None:
    """Apply both requirements files, then restart.

    The same as updateosreqs and updatepipreqs one after the other, but faster.
    """
    _update(pip=True, os=True, wait=wait, timeout=timeout)


def _update(*, pip: bool, os: bool, wait: bool, timeout: float) -> None:
    project = current_project()
    with interruptible(RESTARTING), pip_progress() as report:
        operations.update(project, pip=pip, os=os, report=report)
    if wait:
        show_readiness(project, timeout)
