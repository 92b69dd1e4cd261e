"""What pip says, for a person who waits: the step it is at, and in the end what it changed."""

from __future__ import annotations

import re

from denzel.backends.base import Passing
from denzel.console import progress

TALK = re.compile(
    r"Requirement already satisfied: |Looking in (indexes|links): |Collecting \S+|Downloading \S+"
    r"|Using cached \S+|Obtaining \S+ from |Processing [./]|Preparing (metadata|wheel|editable)"
    r"|Getting requirements to |Installing (collected packages|build dependencies|backend dep)"
    r"|Building (wheel|editable)|Created wheel for |Stored in directory: |Attempting uninstall: "
    r"|Successfully (built|uninstalled) |Found existing installation: |Uninstalling \S+:"
    r"|WARNING: Location |Saved \S+\.whl|Discarding http|DEPRECATION: "
)
"""How the lines begin that pip prints as long as all is well."""
STEP = re.compile(r"(?P<verb>Collecting|Downloading|Building wheel|Installing) (?P<rest>.*)")
MOST_NAMED = 12
INSTALLED = re.compile(r"Successfully installed (?P<packages>.+)")


class PipView:
    """Takes a command's lines of progress, shows what is not pip's talk, sums that up."""

    def __init__(self) -> None:
        self.packages: list[str] = []
        self.talking = False

    def receive(self, line: str) -> None:
        """Show a line, unless it is pip's talk."""
        if isinstance(line, Passing) or not self.takes(line):
            progress(line)

    def takes(self, line: str) -> bool:
        """Tell whether a line is pip's talk, which shows as the step that pip is at."""
        if installed := INSTALLED.match(line):
            self.packages += installed["packages"].split()
        elif TALK.match(line) or (line.startswith(" ") and self.talking):
            self.talking = True
            if STEP.match(line):
                progress(Passing(f"pip: {line}"))
        else:
            self.clear()
            return False
        return True

    def clear(self) -> None:
        """Take pip's step off the terminal, and say what it changed."""
        progress(Passing(""))
        if len(self.packages) > MOST_NAMED:
            progress(f"Installed {len(self.packages)} packages")
        elif self.packages:
            names = ", ".join(" ".join(package.rsplit("-", 1)) for package in self.packages)
            progress(f"Installed {names}")
        elif self.talking:
            progress("Nothing to install: every package is there already")
        self.packages, self.talking = [], False
