"""``denzel dev``: run the services in front of a terminal, and again whenever a file is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from denzel.backends.base import LogLine, Report
from denzel.backends.local.development import Development
from denzel.backends.log_files import follow_logs
from denzel.errors import ServiceError, UsageError
from denzel.file_watch import SETTINGS_FILES, FileWatch
from denzel.operations.deployment import (
    check_settings,
    front_page,
    make_missing_secrets,
)
from denzel.ports import check_ports, free_port
from denzel.project import Project
from denzel.services import State
from denzel.urls import api_url

TICK_SECONDS = 0.1
LOOK_SECONDS = 0.3
QUIET_SECONDS = 0.2
"""How long no file may change before the services are restarted: editors save several at once."""
STATUS_SECONDS = 0.5
RELOADED = ("api", "denzel")
"""The services that run the user's code."""


def develop(
    project: Project, *, api_port: int | None, report: Report, ready: Callable[[str], None]
) -> Generator[LogLine, None, None]:
    """Run the services until the iterator is closed; yield what they log.

    Whenever a file of the project is saved, what runs it is restarted.  ``ready`` is called with
    the page to look at when the services are up for the first time.
    """
    make_missing_secrets(project, report)
    check_settings(project, report)
    development = Development(project, report, api_port=_port(project, api_port, report))
    development.preflight()
    watch = FileWatch(project.root)
    with development.session():
        session = _Session(development, watch, report, ready)
        yield from follow_logs(development.log_files, None, pause=session.tick)


def _port(project: Project, wanted: int | None, report: Report) -> int:
    if wanted is not None:
        check_ports({"--api-port": wanted})
        return wanted
    settings = project.settings
    # The project's own ports are passed over also while its services are just being restarted.
    own = [settings.monitor_port, *([settings.api_port] if project.backend else [])]
    port = free_port(settings.api_port, avoid=own)
    if project.backend:
        report(f"The project is launched, on port {settings.api_port}; here it is on {port}")
    elif port != settings.api_port:
        report(f"Port {settings.api_port} is taken; using {port}")
    return port


class _Session:
    """What is done beside reading the logs: look at files and at the services."""

    def __init__(
        self,
        development: Development,
        watch: FileWatch,
        report: Report,
        ready: Callable[[str], None],
    ) -> None:
        self._development = development
        self._watch = watch
        self._report = report
        self._ready = ready
        self._url = api_url(development.project.settings)
        self._looked = self._asked = 0.0
        self._started: float | None = time.monotonic()
        self._was_ready = False
        self._told = ""

    def tick(self) -> None:
        """Do what is due; return soon."""
        time.sleep(TICK_SECONDS)
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            changed = self._watch.changed()
            # A large project is looked at less often, so that it takes a tenth of a processor.
            self._looked = time.monotonic() + 9 * (time.monotonic() - now)
            if changed:
                self._react(self._settled(changed))
        if now - self._asked >= STATUS_SECONDS * (1 if self._started is not None else 4):
            self._ask()
            self._asked = time.monotonic()

    def _settled(self, changed: Sequence[str]) -> list[str]:
        """Return what changed once nothing does any more."""
        paths = set(changed)
        while True:
            time.sleep(QUIET_SECONDS)
            more = self._watch.changed()
            if not more:
                return sorted(paths)
            paths |= set(more)

    def _react(self, changed: Sequence[str]) -> None:
        """Restart what runs the files that changed, unless they are no Python."""
        root = self._development.project.root
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if changed[3:] else "")
        if "requirements.sh" in changed:
            self._report("requirements.sh changed; it is not run on this machine")
            if len(changed) == 1:
                return
        if problems := [text for path in changed if (text := syntax_problem(root / path, path))]:
            self._report("\n".join([*problems, "The services go on with what they have"]))
            return
        self._report(f"{shown} changed; restarting")
        self._started = time.monotonic()
        self._told = ""
        if any(path in SETTINGS_FILES for path in changed):
            try:
                self._development.restart_all()
            except UsageError as error:
                self._report(f"{error}\nThe services go on with what they have")
                self._started = None
        else:
            self._development.restart_services(RELOADED)

    def _ask(self) -> None:
        """Tell when the services are up, and when one of them fails."""
        if not self._development.running():
            raise ServiceError("The services were ended by something else")
        status = self._development.status()
        lines = [line for line in status.lines if line.name not in ("monitor", "callbacks")]
        failed = [line for line in lines if line.state is State.ERROR]
        # Where to look stands in the details, too; but it is shown here.
        problem = "\n".join(
            f"{line.name}: {line.detail.partition('; see logs/')[0]}" for line in failed
        )
        if problem and problem != self._told:
            self._report(problem)
            self._started = None
        self._told = problem
        up = bool(status.workers) and all(line.state is State.UP for line in lines)
        if up and self._started is not None:
            took = time.monotonic() - self._started
            self._started = None
            self._report(f"Ready after {took:.1f} s: {self._url} (Ctrl-C ends it)")
            if not self._was_ready:
                self._was_ready = True
                self._ready(front_page(self._url))


def syntax_problem(path: Path, name: str) -> str:
    """Return why a file cannot be imported, with its line; empty when it can, or is no Python."""
    if path.suffix != ".py":
        return ""
    try:
        compile(path.read_bytes(), name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        text = (getattr(error, "text", None) or "").strip()
        where = f"{name}:{line}" if line else name
        return f"{where}: {getattr(error, 'msg', error)}" + (f"\n    {text}" if text else "")
    except OSError:
        return ""  # it was removed
    return ""
