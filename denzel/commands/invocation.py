"""What a command is called on, how it waits, and how Ctrl-C ends it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from denzel import backends, console, operations
from denzel.backends.base import Report
from denzel.errors import Interrupted, ProjectError
from denzel.pip_view import PipView
from denzel.project import Project, find_project
from denzel.services import Status


def current_project() -> Project:
    """Return the project the caller stands in; refuse an ``.env`` that cannot be used."""
    project = find_project(_place())
    _ = project.settings  # read now: what is wrong is told before anything is done
    return project


def current_deployment() -> Project:
    """Return the project the caller stands in, whatever is wrong with its settings.

    For what must never be refused: to stop what runs, and to read what it says.  Services may run
    on although the project's directory was deleted.
    """
    try:
        project = find_project(_place(), lenient=True)
    except ProjectError:
        lost = backends.find_lost(_place())
        if lost is None:
            raise
        console.progress(f"The project in {lost.root} was deleted; its services are still there")
        return lost
    if project.flaw:
        console.progress(f"{project.flaw}\nGoing on with what can be used of it")
    return project


def _place() -> Path:
    """Return the current directory; where it was deleted, its path as the shell has it."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.environ.get("PWD", "/"))


def wait_until_ready(project: Project, timeout: float) -> Status:
    """Show the status until every line says UP, for ``timeout`` seconds at most; return it."""
    view = console.WaitView()
    with interruptible("the services go on; `denzel status --live` watches them"):
        status = operations.wait_until_ready(project, timeout=timeout, seen=view.show)
    view.clear()
    return status


def show_readiness(project: Project, timeout: float) -> None:
    """Wait until every line says UP, for ``timeout`` seconds at most, and print the status."""
    console.print_status(wait_until_ready(project, timeout), as_json=False)


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Take Ctrl-C as the way to end what never ends by itself."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)


@contextmanager
def interruptible(next_step: str) -> Iterator[None]:
    """Say what Ctrl-C leaves behind and the ``next_step`` to take."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted; {next_step}") from None


@contextmanager
def pip_progress() -> Iterator[Report]:
    """Give what takes progress and sums up what pip says in it."""
    view = PipView()
    try:
        yield view.receive
    finally:
        view.clear()


RESTARTING = "services may be stopped, and `denzel start` starts them"
"""What an interrupted restart leaves behind."""
