"""``denzel demo``: from nothing to a served, monitored iris classifier in one command."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from denzel import console, operations
from denzel.errors import DenzelError, PredictionError, ProjectError, ServiceError
from denzel.project import MANIFEST_NAME, Project
from denzel.scaffold import start_project
from denzel.services import Status
from denzel.urls import api_url, monitor_url

NAME = "denzel_demo"
EXAMPLE = "iris"
REQUEST_FILE = "request.json"
READY_TIMEOUT_SECONDS = 1800.0
PREDICT_TIMEOUT_SECONDS = 60.0
BACKENDS = {"local": "local processes", "docker": "Docker"}


def run(
    parent: Path, *, backend: str | None, api_port: int | None, monitor_port: int | None
) -> None:
    """Start, launch and try the demo in ``parent``; leave it running.

    Ports that are None are the first free ones from the defaults on.
    """
    project = _existing(parent)
    status = None if project is None else operations.status(project)
    if project is not None and status is not None:
        _say_that_it_runs(project, status)
        return
    if project is None:
        console.echo(f"Starting the project {NAME} in {parent / NAME}")
        project = start_project(parent, NAME, example=EXAMPLE)
    free = operations.available_ports(project)
    deployment = operations.launch(
        project,
        backend=backend,
        api_port=api_port or free["api_port"],
        monitor_port=monitor_port or free["monitor_port"],
        report=console.progress,
    )
    console.echo(f"Launched with {BACKENDS[deployment.backend]}; waiting until it is ready")
    view = console.WaitView()
    try:
        operations.wait_until_ready(project, timeout=READY_TIMEOUT_SECONDS, seen=view.show)
        _predict(project)
    except DenzelError as error:
        raise ServiceError(
            f"{error}\nThe demo was left as it is; `denzel demo --shutdown` ends it"
        ) from error
    _say_how_to_go_on(project)


def end(parent: Path) -> None:
    """Shut the demo in ``parent`` down; its files stay."""
    project = _existing(parent, lenient=True)
    if project is None:
        raise ProjectError(f"There is no demo in {parent}; `denzel demo` starts one")
    operations.shutdown(project, purge=False, report=console.progress)
    console.echo(
        f"The demo is shut down. Its files are in {project.root}; "
        "`denzel shutdown --purge` there removes what it built and installed, too"
    )


def _existing(parent: Path, *, lenient: bool = False) -> Project | None:
    root = parent / NAME
    if (root / MANIFEST_NAME).is_file():
        return Project(root, lenient=lenient)
    if os.path.lexists(root):
        raise ProjectError(
            f"{root} exists and is not a denzel project; move it away, or run the demo elsewhere"
        )
    return None


def _predict(project: Project) -> None:
    request = (project.root / REQUEST_FILE).read_bytes()
    console.echo(f"\nPOST {api_url(project.settings)}/predict\n{request.decode().strip()}")
    body = operations.RequestBody(request)
    answer = operations.predict(project, body, timeout=PREDICT_TIMEOUT_SECONDS)
    if not isinstance(answer, dict):
        raise PredictionError(f"The demo's answer is no JSON object but {answer!r}")
    console.echo("\nAnswer")
    for flower, species in answer.items():
        console.echo(f"    {flower}: {species}")


def _say_that_it_runs(project: Project, status: Status) -> None:
    console.echo(f"The demo is launched already, from {project.root}")
    console.print_status(status, as_json=False)
    _say_how_to_go_on(project)


def _say_how_to_go_on(project: Project) -> None:
    settings = project.settings
    folder = shlex.quote(os.path.relpath(project.root))
    lines = [
        ("API", f"{api_url(settings)}/info"),
        ("Monitor", monitor_url(settings)),
        ("Look around", f"cd {folder} && denzel status"),
        ("Predict", f"cd {folder} && denzel predict {REQUEST_FILE}"),
        ("Stop", "denzel demo --shutdown"),
    ]
    console.echo()
    for what, how in lines:
        console.echo(f"{what + ':':<13}{how}")
