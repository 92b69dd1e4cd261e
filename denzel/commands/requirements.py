"""Bring what the project requires into the services."""

from __future__ import annotations

import click

from denzel import operations
from denzel.commands.invocation import (
    RESTARTING,
    current_project,
    interruptible,
    pip_progress,
)


@click.command()
def updatepipreqs() -> None:
    """Install requirements.txt, then restart.

    The packages are installed in the running services, and upgraded where they are there. What pip
    changed is shown; logs/requirements.log has all it said.
    """
    _update(pip=True, os=False)


@click.command()
def updateosreqs() -> None:
    """Run requirements.sh, then restart.

    All of it is run with bash, as root, in the running services.
    """
    _update(pip=False, os=True)


@click.command()
def updatereqs() -> None:
    """Apply both requirements files, then restart.

    The same as updateosreqs and updatepipreqs one after the other, but faster.
    """
    _update(pip=True, os=True)


def _update(*, pip: bool, os: bool) -> None:
    with interruptible(RESTARTING), pip_progress() as report:
        operations.update(current_project(), pip=pip, os=os, report=report)
