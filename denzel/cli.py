"""The command line: parse, call one operation, hand the result to the console.

``denzel --help`` is instant because everything but click is imported by the command that
needs it.
"""

from __future__ import annotations

import errno
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from denzel import __version__
from denzel.errors import DenzelError, UsageError
from denzel.services import SERVICES
from denzel.templates import NO_EXAMPLE, example_names

if TYPE_CHECKING:
    from denzel.project import Project
    from denzel.services import Status

READY_TIMEOUT_SECONDS = 900.0
PREDICT_TIMEOUT_SECONDS = 60.0
INTERRUPTED_EXIT_CODE = 130


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 alone
    """A finite number of seconds above zero."""

    name = "float"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return ``value`` as seconds, or fail as click's own types do."""
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        if not (math.isfinite(seconds) and seconds > 0):
            self.fail(f"{value!r} is not a number of seconds above 0", param, ctx)
        return seconds


CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
PORT = click.IntRange(1, 65535)
SECONDS = Seconds()
SERVICE = click.Choice([*sorted(SERVICES), "all"])


class Shown(click.ClickException):
    """An error as the user sees it: ``Error:``, its message, and an exit code of its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # a ClassVar to click's annotations


class Denzel(click.Group):
    """The outermost edge: what went wrong becomes one message and an exit code."""

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


def _project() -> Project:
    from denzel.project import find_project

    project = find_project(Path.cwd())
    _ = project.settings  # an .env that cannot be used is refused before anything is done
    return project


@contextmanager
def _until_interrupted() -> Iterator[None]:
    """Take Ctrl-C as the way to end what never ends by itself."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)


@contextmanager
def _restarting() -> Iterator[None]:
    """Say what Ctrl-C leaves behind: services that are stopped already."""
    try:
        yield
    except KeyboardInterrupt:
        raise Shown(
            "Interrupted; services may be stopped, and `denzel start` starts them",
            INTERRUPTED_EXIT_CODE,
        ) from None


def _backend_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --local and --docker, of which one may be given."""
    local = click.option("--local", is_flag=True, help="Run the services as local processes.")
    docker = click.option("--docker", is_flag=True, help="Run the services in Docker.")
    return local(docker(command))


def _backend_name(local: bool, docker: bool) -> str | None:
    if local and docker:
        raise UsageError("--local and --docker exclude each other; give one, or none")
    return "local" if local else "docker" if docker else None


@click.group(cls=Denzel, context_settings=CONTEXT_SETTINGS)
@click.version_option(__version__, prog_name="denzel")
def main() -> None:
    """Deploy a trained model as a monitored, durable prediction service."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a ? in its place, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


@main.command()
@click.argument("name")
@click.option("--gpu/--no-gpu", default=False, show_default=True, help="Make a GPU deployment.")
@click.option(
    "--example",
    type=click.Choice(example_names()),
    default=NO_EXAMPLE,
    show_default=True,
    help="Begin with a finished pipeline and its model.",
)
def startproject(name: str, gpu: bool, example: str) -> None:
    """Build the skeleton of a new project called NAME."""
    from denzel import console, scaffold

    scaffold.start_project(Path.cwd(), name, gpu=gpu, example=example)
    console.echo(f"Successfully built {name} project skeleton")


@main.command()
@click.option(
    "--api-port", type=PORT, show_default="8000, or what .env says", help="Port of the API."
)
@click.option(
    "--monitor-port", type=PORT, show_default="5555, or what .env says", help="Port of the monitor."
)
@_backend_options
@click.option("--wait/--no-wait", default=False, show_default=True, help="Wait until it is ready.")
@click.option(
    "--timeout",
    type=SECONDS,
    default=READY_TIMEOUT_SECONDS,
    show_default=True,
    help="How many seconds --wait waits at most.",
)
def launch(
    api_port: int | None,
    monitor_port: int | None,
    local: bool,
    docker: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Build and start all services."""
    from denzel import console, operations

    project = _project()
    backend = _backend_name(local, docker)
    try:
        deployment = operations.launch(
            project,
            backend=backend,
            api_port=api_port,
            monitor_port=monitor_port,
            report=console.progress,
        )
    except KeyboardInterrupt:
        raise Shown(
            "Interrupted; `denzel shutdown` removes what was started", INTERRUPTED_EXIT_CODE
        ) from None
    if wait:
        console.print_status(_wait(project, timeout), as_json=False)
    else:
        console.progress("The services are starting; `denzel status --live` shows how far they are")
    console.progress(f"API: {deployment.api_url}  Monitor: {deployment.monitor_url}")


def _wait(project: Project, timeout: float) -> Status:
    from denzel import console, operations

    view = console.WaitView()
    status = operations.wait_until_ready(project, timeout=timeout, seen=view.show)
    view.clear()
    return status


@main.command()
@click.option(
    "--purge/--no-purge",
    default=False,
    show_default=True,
    help="Also remove images, volumes and installed packages.",
)
def shutdown(purge: bool) -> None:
    """Stop and remove all services; the project's files stay."""
    from denzel import console, operations

    operations.shutdown(_project(), purge=purge, report=console.progress)


@main.command()
def start() -> None:
    """Start the stopped services."""
    from denzel import console, operations

    operations.start(_project(), report=console.progress)


@main.command()
def stop() -> None:
    """Stop the services; queue, results and response mode are kept."""
    from denzel import console, operations

    operations.stop(_project(), report=console.progress)


@main.command()
def restart() -> None:
    """Stop and start the services, so that changed code takes effect."""
    from denzel import console, operations

    with _restarting():
        operations.restart(_project(), report=console.progress)


@main.command()
@click.option(
    "--live/--no-live", default=False, show_default=True, help="Keep watching until Ctrl-C."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--wait", is_flag=True, help="Wait until every line says UP.")
@click.option(
    "--timeout",
    type=SECONDS,
    default=READY_TIMEOUT_SECONDS,
    show_default=True,
    help="How many seconds --wait waits at most.",
)
def status(live: bool, as_json: bool, wait: bool, timeout: float) -> None:
    """Show the state of the services and the worker."""
    from denzel import console, operations

    project = _project()
    if live:
        with _until_interrupted():
            console.print_live(operations.statuses(project), as_json=as_json)
        return
    current = _wait(project, timeout) if wait else operations.status(project)
    console.print_status(current, as_json=as_json)


@main.command()
@click.option(
    "--service", type=SERVICE, default="all", show_default=True, help="Show one service alone."
)
@click.option(
    "--live/--no-live", default=False, show_default=True, help="Keep following until Ctrl-C."
)
@click.option("--tail", type=click.IntRange(min=0), help="Begin this many lines before the end.")
def logs(service: str, live: bool, tail: int | None) -> None:
    """Show what the services print."""
    from denzel import console, operations

    name = None if service == "all" else service
    with _until_interrupted():
        lines = operations.logs(_project(), name, follow=live, tail=tail)
        console.print_logs((line.service, line.text) for line in lines)


@main.command()
@click.option(
    "--live/--no-live", default=False, show_default=True, help="Keep following until Ctrl-C."
)
def logworker(live: bool) -> None:
    """Show the worker's log file, logs/worker.log."""
    from denzel import console, operations

    with _until_interrupted():
        for line in operations.worker_log(_project(), follow=live):
            console.echo(line)


@main.command()
@click.option(
    "--service",
    type=click.Choice(sorted(SERVICES)),
    default="denzel",
    show_default=True,
    help="Where to open it.",
)
def shell(service: str) -> None:
    """Open an interactive bash in a service."""
    from denzel import operations

    sys.exit(operations.shell(_project(), service))


@main.command()
def updatepipreqs() -> None:
    """Install what requirements.txt asks for, upgrading, then restart."""
    _update(pip=True, os=False)


@main.command()
def updateosreqs() -> None:
    """Run requirements.sh in the services, then restart."""
    _update(pip=False, os=True)


@main.command()
def updatereqs() -> None:
    """Do what updateosreqs and updatepipreqs do, with one restart."""
    _update(pip=True, os=True)


def _update(*, pip: bool, os: bool) -> None:
    from denzel import console, operations

    with _restarting():
        operations.update(_project(), pip=pip, os=os, report=console.progress)


@main.command()
@click.option("--sync", "synchronous", is_flag=True, help="Answer with the prediction.")
@click.option(
    "--async", "asynchronous", is_flag=True, help="Answer at once; send the prediction later."
)
@click.option(
    "--timeout",
    type=SECONDS,
    default=5.0,
    show_default=True,
    help="How many seconds a synchronous answer may take.",
)
@click.pass_context
def response(ctx: click.Context, synchronous: bool, asynchronous: bool, timeout: float) -> None:
    """Choose how /predict answers from now on; one of --sync and --async is required."""
    from denzel import console, operations

    if synchronous == asynchronous:
        raise click.UsageError("Give one of --sync and --async", ctx)
    given = ctx.get_parameter_source("timeout") is not click.core.ParameterSource.DEFAULT
    if asynchronous and given:
        raise click.UsageError("--timeout goes with --sync alone", ctx)
    operations.set_response(_project(), synchronous=synchronous, timeout=timeout)
    kind = f"synchronous, within {timeout:g} s" if synchronous else "asynchronous"
    console.echo(f"Responses are {kind} from now on")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--retry", metavar="ID|all", help="Send it again, or all of them.")
@click.option("--drop", metavar="ID|all", help="Forget it, or all of them.")
@click.pass_context
def callbacks(ctx: click.Context, as_json: bool, retry: str | None, drop: str | None) -> None:
    """List the callbacks that are not delivered, send some again, or forget them."""
    from denzel import console, operations

    project = _project()
    if retry and drop:
        raise click.UsageError("Give one of --retry and --drop", ctx)
    if retry:
        console.echo(f"{operations.retry_callbacks(project, retry)} will be sent again")
    elif drop:
        console.echo(f"{operations.drop_callbacks(project, drop)} dropped")
    else:
        console.print_callbacks(operations.undelivered_callbacks(project), as_json=as_json)


@main.command()
@click.argument("name")
def apikey(name: str) -> None:
    """Make an API key called NAME and print it; .env keeps its hash alone."""
    from denzel import apikeys, console

    console.echo(apikeys.add_key(_project(), name))
    console.progress("Nobody can tell you this key again. It is valid from `denzel restart` on")


@main.command()
@click.argument("file", type=click.File("rb"))
@click.option("--async", "asynchronous", is_flag=True, help="Queue it, then ask until it is made.")
@click.option(
    "--timeout",
    type=SECONDS,
    default=PREDICT_TIMEOUT_SECONDS,
    show_default=True,
    help="How many seconds to wait at most.",
)
@click.option(
    "--api-key",
    envvar="DENZEL_API_KEY",
    show_envvar=True,
    default="",
    help="The key, where the API asks for one.",
)
def predict(file: Any, asynchronous: bool, timeout: float, api_key: str) -> None:
    """Send the JSON in FILE (- for standard input) to the running API; print the answer."""
    from denzel import console, operations

    answer = operations.predict(
        _project(),
        file.read(),
        source=file.name,
        wait_async=asynchronous,
        timeout=timeout,
        key=api_key,
        waiting=lambda task, state: console.progress(f"{task}: {state}"),
    )
    console.print_json(answer.value)


@main.command()
@click.argument("file", type=click.File("rb"), required=False)
@_backend_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(file: Any, local: bool, docker: bool, as_json: bool) -> None:
    """Try the pipeline without services, on the request in FILE (- for standard input)."""
    from denzel import console, operations

    sample, source = (file.read(), file.name) if file else (None, "")
    report = operations.check(
        _project(),
        sample,
        source=source,
        backend=_backend_name(local, docker),
        report=console.progress,
    )
    if as_json:
        console.print_json(report)
    else:
        console.print_check(report, sampled=sample is not None)
    sys.exit(0 if report["ok"] else 1)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Look for what this machine lacks to run projects, and say what to do about it."""
    from dataclasses import asdict

    from denzel import console
    from denzel.doctor import diagnose

    findings = diagnose()
    if as_json:
        console.print_json([asdict(finding) for finding in findings])
    else:
        console.print_findings(findings)
    sys.exit(1 if any(finding.needed and not finding.ok for finding in findings) else 0)


@main.command()
@click.option("--shutdown", "ending", is_flag=True, help="End a running demo.")
@_backend_options
@click.option("--api-port", type=PORT, show_default="8000, or the next free one")
@click.option("--monitor-port", type=PORT, show_default="5555, or the next free one")
def demo(
    ending: bool, local: bool, docker: bool, api_port: int | None, monitor_port: int | None
) -> None:
    """Serve an iris classifier from ./denzel_demo and ask it for two predictions."""
    from denzel import demo as show

    if ending:
        show.end(Path.cwd())
        return
    backend = _backend_name(local, docker)
    try:
        show.run(Path.cwd(), backend=backend, api_port=api_port, monitor_port=monitor_port)
    except KeyboardInterrupt:
        raise Shown(
            "Interrupted; `denzel demo --shutdown` ends what was started", INTERRUPTED_EXIT_CODE
        ) from None


@main.command()
def upgrade() -> None:
    """Bring the files denzel owns up to this version; yours are not touched."""
    from denzel import console
    from denzel.upgrade import upgrade as upgrade_project

    console.print_upgrade(upgrade_project(_project()))
