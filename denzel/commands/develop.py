"""Work on a project: its services in this terminal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager

import click

from denzel import browser, console
from denzel.backends.base import Passing
from denzel.commands.invocation import current_project
from denzel.commands.options import PORT
from denzel.operations.development import develop
from denzel.pip_view import PipView


@click.command()
@click.option(
    "--api-port", type=PORT, show_default="what .env says, or another one",
    help="Port of the API.",
)  # fmt: skip
@click.option(
    "--open/--no-open", "opens", default=True, show_default=True, help="Open the API's page."
)
def dev(api_port: int | None, opens: bool) -> None:
    """Run the project in this terminal; restart at each save.

    Local processes, beside whatever the project is launched as; what they log is shown. Ctrl-C ends
    them all.
    """
    view = PipView()

    def report(line: str) -> None:
        if isinstance(line, Passing):
            console.progress(line)
        elif not view.takes(line):
            console.progress(click.style(line, bold=True))

    def ready(page: str) -> None:
        if opens and not browser.open_page(page):
            report(f"There is no screen to open {page} on")

    project = current_project()
    with (
        _ended_by_any_signal(),
        closing(develop(project, api_port=api_port, report=report, ready=ready)) as lines,
    ):
        console.print_logs((line.service, line.text) for line in lines if not view.takes(line.text))


@contextmanager
def _ended_by_any_signal() -> Iterator[None]:
    """Take Ctrl-C, a closed terminal and a plain kill as the end; let nothing cut it short."""

    def end(*_: object) -> None:
        for each in ending:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for each in ending:
        signal.signal(each, end)
    try:
        yield
    except KeyboardInterrupt:
        console.progress("Ended")
