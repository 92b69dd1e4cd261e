"""What pip says, for a person who waits: the step it is at, and in the end what it changed."""

from __future__ import annotations

import re

from denzel.backends.base import Passing
from denzel.live import LiveView, echo

TALK = re.compile(
    r"\s|Requirement already satisfied|Looking in |Collecting |Downloading |Using cached "
    r"|Obtaining |Processing |Preparing |Getting requirements|Installing |Building wheel"
    r"|Created wheel|Stored in |Successfully (built|uninstalled)|Attempting uninstall"
    r"|Found existing|Uninstalling "
    r"|WARNING: Location |Saved |Discarding |DEPRECATION: "
)
"""How the lines begin that pip prints as long as all is well."""
STEP = re.compile(r"(?P<verb>Collecting|Downloading|Building wheel|Installing) (?P<rest>.*)")
INSTALLED = re.compile(r"Successfully installed (?P<packages>.+)")


class PipView:
    """Takes a command's lines of progress, shows what is not pip's talk, sums that up."""

    def __init__(self) -> None:
        self.view = LiveView(err=True)
        self.packages: list[str] = []
        self.talked = False

    def receive(self, line: str) -> None:
        """Show a line, or take it as what pip is at."""
        if isinstance(line, Passing):
            if self.view.in_place:
                self.view.show([line] if line else [])
        elif installed := INSTALLED.match(line):
            self.packages += installed["packages"].split()
        elif TALK.match(line):
            self.talked = True
            if self.view.in_place and STEP.match(line):
                self.view.show([f"pip: {line}"])
        else:
            self.clear()
            echo(line, err=True)

    def clear(self) -> None:
        """Take pip's step off the terminal, and say what it changed."""
        if self.view.in_place:
            self.view.show([])
        if self.packages:
            names = ", ".join(" ".join(package.rsplit("-", 1)) for package in self.packages)
            echo(f"Installed {names}", err=True)
        elif self.talked:
            echo("Nothing to install: every package is there already", err=True)
        self.packages, self.talked = [], False
