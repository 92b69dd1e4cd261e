"""The command line: parse, call one operation, hand the result to the console."""

from __future__ import annotations

import errno
import sys
from difflib import get_close_matches
from typing import Any

import click
from click.shell_completion import CompletionItem

from denzel import __version__
from denzel.commands import COMMANDS, SECTIONS
from denzel.errors import DenzelError

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Shown(click.ClickException):
    """An error as the user sees it: ``Error:``, its message, and an exit code of its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # a ClassVar to click's annotations


class Denzel(click.Group):
    """Commands imported when they are called; the outermost edge of what they raise."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name, in the order of the sections."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None when there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else entry.load(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called; suggest one when there is none of that name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            for meant in get_close_matches(args[0], COMMANDS, n=1):
                message = f"{error.message} Did you mean {meant}?"
                raise click.UsageError(message, error.ctx) from error
            raise

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so, without importing any command."""
        return [
            CompletionItem(name, help=entry.summary)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ] + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands section by section, without importing any."""
        width = max(map(len, COMMANDS))
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{name:<{width}}", entry.summary) for name, entry in entries.items()]
                )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; show a DenzelError, or what the operating system refused."""
        try:
            return super().invoke(ctx)
        except DenzelError as error:
            raise Shown(str(error), error.exit_code) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends silently when the reader of a pipe has gone
            where = f"{error.filename}: " if error.filename else ""
            raise Shown(f"{where}{error.strerror or error}", 1) from error


@click.group(cls=Denzel, context_settings=CONTEXT_SETTINGS)
@click.version_option(__version__, prog_name="denzel")
def main() -> None:
    """Deploy a trained model as a monitored, durable prediction service."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a ? in its place, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
