"""What a person is told of Compose's work: a line for each service, in place of Compose's own.

The only place that knows the wording of Compose's progress (2.20 to 2.40).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from denzel.backends.base import NAME_WIDTH, Passing, Report
from denzel.services import START_ORDER, replica_name

EVENT = re.compile(
    r"\s*(?P<kind>Container|Network|Volume)\s+\"?(?P<name>[^\s\"]+)\"?\s+(?P<event>\w+).*"
)
STARTED, RUNNING = "Started", "Running"
STEP = re.compile(r"#\d+ \[[^\]]*?(?P<number>\d+/\d+)\] (?P<command>.*)")
STEP_OUTPUT = re.compile(r"#\d+ [\d.]+ (?P<text>\S.*)")


class ContainerProgress:
    """Reports services as they start, in a fixed order, and containers as they stop and go.

    What runs already is one that was started, too, unless only ``changes`` are to be told.
    """

    def __init__(
        self, report: Report, project_name: str, width: int = 0, *, changes: bool = False
    ) -> None:
        self._report = report
        self._started_by = (STARTED,) if changes else (STARTED, RUNNING)
        self._prefix = f"{project_name}-"
        self._width = width
        self._waiting = list(START_ORDER)
        self._started: list[str] = []
        self._removed: list[str] = []

    def receive(self, line: str) -> None:
        """Take a line of Compose's; what tells of no event is not shown."""
        found = EVENT.fullmatch(line)
        if not found:
            return
        kind, name, event = found["kind"], found["name"], found["event"]
        if kind == "Container":
            self._container(name, event)
        elif kind == "Network" and event == "Creating":
            self._report(f'Creating network "{name}" with the default driver')
        elif event == "Removed":
            self._report_removed()
            self._report(f"Removing {kind.lower()} {name}")

    def finish(self) -> None:
        """Report what waited for others: started services, and containers that are gone."""
        self._report_removed()
        self._waiting = [name for name in self._waiting if name in self._started]
        self._report_started()
        for name in self._started:
            self._report(f"Starting {name:<{NAME_WIDTH}} ... done")
        self._started.clear()

    def _container(self, name: str, event: str) -> None:
        service = self._replica(name)
        if event in self._started_by:
            if service not in self._started:
                self._started.append(service)
            self._report_started()
        elif event == RUNNING:
            pass
        elif event == "Removed":
            self._removed.append(name)
        elif event == "Stopped":
            self._report(f"Stopping {name:<{self._width}} ... done")
        else:
            self._report(Passing(f"{event}{' for' if event == 'Waiting' else ''} {service}"))

    def _replica(self, container: str) -> str:
        """Return which replica of a service a container is, by its name."""
        name = container.removeprefix(self._prefix)
        service, _, number = name.rpartition("-")
        return replica_name(service, int(number)) if service and number.isdecimal() else name

    def _report_removed(self) -> None:
        for name in self._removed:
            self._report(f"Removing {name:<{self._width}} ... done")
        self._removed.clear()

    def _report_started(self) -> None:
        while self._waiting and self._waiting[0] in self._started:
            name = self._waiting.pop(0)
            self._started.remove(name)
            self._report(f"Starting {name:<{NAME_WIDTH}} ... done")


def build_step(line: str, step: str) -> tuple[str, str]:
    """Return the step that a build is at, and what it says, by the next line of its output.

    ``step`` is the one it was at so far.
    """
    if found := STEP.fullmatch(line):
        return found["number"], " ".join(found["command"].split())
    if found := STEP_OUTPUT.fullmatch(line):
        return step, found["text"]
    return step, ""


@contextmanager
def containers_shown(
    report: Report, project_name: str, width: int = 0, *, changes: bool = False
) -> Iterator[Callable[[str], None]]:
    """Give what receives the lines of one command of Compose's."""
    progress = ContainerProgress(report, project_name, width, changes=changes)
    try:
        yield progress.receive
    finally:
        progress.finish()
        report(Passing(""))
