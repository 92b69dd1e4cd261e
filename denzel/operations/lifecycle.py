"""What changes a deployment, from launch to shutdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from denzel import backends
from denzel.backends.base import Backend, Report
from denzel.backends.docker.references import parse_reference
from denzel.errors import (
    DenzelError,
    EngineError,
    Interrupted,
    PortTaken,
    ProjectError,
    ServiceError,
    UsageError,
)
from denzel.operations.deployment import (
    check_settings,
    launched_backend,
    make_missing_secrets,
    new_version,
    refuse_for_image,
    serves,
    silent,
)
from denzel.operations.trial import CHECK_TIMEOUT_SECONDS, check_options, read_report
from denzel.ports import check_ports, free_port, why_unavailable
from denzel.project import Project
from denzel.urls import api_url, monitor_url
from denzel.versions import Versions

ALREADY_LAUNCHED = 'Project already launched! Did you mean to run "denzel start"?'
RUNS_FILES = (
    "Project already launched, from its own files: run `denzel shutdown`, which keeps queue and "
    "results, then `denzel launch --image` again"
)
DEFAULT_HTTPS_PORT = 443
LOCAL = "local"
METRICS_ON = {"WITH_METRICS": "1"}


@dataclass(frozen=True)
class Deployment:
    """What was launched: the backend's name and where to find the services.

    ``check`` is the report of another image's trial that failed: then nothing was changed.
    """

    backend: str
    api_url: str
    monitor_url: str
    grafana_url: str = ""
    check: dict[str, Any] | None = None


def launch(
    project: Project,
    *,
    backend: str | None,
    api_port: int | None,
    monitor_port: int | None,
    with_metrics: bool = False,
    image: str | None = None,
    try_image: bool = True,
    report: Report,
) -> Deployment:
    """Create and start every service of ``project``; ``with_metrics`` those that show them, too.

    ``backend`` is ``local``, ``docker`` or None (let denzel choose); a port that is None is the
    one ``.env`` names, another one is remembered until shutdown.  ``image`` is one for release,
    which the services run in place of the project's files; those that run another one go on with
    it, if the pipeline works in it, which ``try_image`` has them find out first.  On failure the
    project is left as it was.
    """
    make_missing_secrets(project, report, **(METRICS_ON if with_metrics else {}))
    check_settings(project, report)
    with project.changing():
        if image is not None:
            parse_reference(image)
            backend = backend or backends.DOCKER
            if _runs_image(project):
                ports = {"api_port": api_port, "monitor_port": monitor_port}
                return _move_to_image(
                    project, image, ports, report, with_metrics=with_metrics, try_first=try_image
                )
        already = ALREADY_LAUNCHED if image is None else RUNS_FILES
        _forget_lost_deployment(project, backend, already)
        wanted = _wanted_ports(project, api_port, monitor_port)
        chosen = backends.choose(project, backend, report)
        if chosen.launched():
            raise ProjectError(already)
        chosen.preflight()
        check_ports({f"--{name}-port": port for name, port in wanted.items()})
        _check_metrics(project, chosen, asked_for=with_metrics)
        with _forgotten_on_failure(project, chosen), _metrics_turned_on(project, with_metrics):
            if image is not None:
                chosen.fetch(image)
            project.record_backend(
                chosen.name, api_port=api_port, monitor_port=monitor_port, image=image
            )
            _bring_up(project, chosen, of_files=image is None)
    return deployment(project, chosen)


def _bring_up(project: Project, backend: Backend, *, of_files: bool) -> None:
    """Start every service, of a new version of the project's files or of the image recorded."""
    if not of_files:
        backend.up()
        return
    versions = Versions(project)
    versions.serve(versions.to_start("launch").number)
    backend.up()
    versions.end_switch()


def deployment(project: Project, backend: Backend) -> Deployment:
    """Return where the services of ``project`` are found."""
    settings = project.settings
    api, monitor = api_url(settings), monitor_url(settings)
    if settings.https_domain:
        port = "" if settings.https_port == DEFAULT_HTTPS_PORT else f":{settings.https_port}"
        api = f"https://{settings.https_domain}{port}"
        monitor = api if settings.serves_monitor else monitor
    with_grafana = settings.with_metrics and backend.name != LOCAL
    return Deployment(
        backend.name,
        api + settings.api_prefix,
        monitor + settings.monitor_prefix,
        f"http://127.0.0.1:{settings.grafana_port}" if with_grafana else "",
    )


def find_deployment(project: Project) -> Deployment:
    """Return where the launched services of ``project`` are found."""
    return deployment(project, launched_backend(project, silent))


def start(project: Project, *, report: Report) -> None:
    """Start the stopped services; beside others that serve, with the same files as these."""
    make_missing_secrets(project, report)
    check_settings(project, report)
    with project.changing():
        backend = launched_backend(project, report)
        running = backend.running()
        if not running:
            ports = _wanted_ports(project, None, None)
            check_ports(
                {f"--{name}-port": port for name, port in ports.items()},
                remedy="Free it, or `denzel shutdown` and launch again",
            )
        if project.launch.image is not None:
            backend.start()
            return
        versions = Versions(project)
        keeps_files = running and versions.served and serves(backend)
        version = versions.as_served("start") if keeps_files else versions.to_start("start")
        settled = not running or (version.number == versions.served and not versions.is_switching)
        versions.serve(version.number)
        backend.start()
        if settled:  # those that run go on with what they have
            versions.end_switch()


def stop(project: Project, *, report: Report) -> None:
    """Stop the services; queue, results and response mode stay."""
    with project.changing():
        launched_backend(project, report).stop()


def restart(project: Project, *, report: Report) -> None:
    """Stop and start the services, so that changed code and settings take effect.

    Requirements that cannot be had are found before anything is stopped.
    """
    make_missing_secrets(project, report)
    check_settings(project, report)
    with project.changing():
        backend = launched_backend(project, report)
        if project.launch.image is not None:
            backend.restart()
            return
        with new_version(project, "restart") as version:
            if serves(backend):
                backend.prepare(version.number)
            Versions(project).serve(version.number)
        backend.restart()
        Versions(project).end_switch()


def shutdown(project: Project, *, purge: bool, report: Report) -> None:
    """Stop and remove the services; with ``purge`` everything they left behind, too.

    Also cleans up after a launch that was killed halfway.
    """
    from denzel.backends.local.development import end_remains

    with project.changing():
        try:
            end_remains(project, report)
        except ProjectError:
            if purge:
                raise  # it would lose its packages
        recorded = project.backend
        chosen = backends.choose(project, None, report)
        chosen.down(purge=purge)
        if purge:
            Versions(project).drop_all()
            if project.settings.redis_url:
                report(f"Queue and results stay in Redis ({project.settings.redis})")
        if recorded is None and chosen.name != LOCAL:
            _shut_down_unrecorded_local(project, purge, report)
        project.record_backend(None)


def update(project: Project, *, pip: bool, os: bool, report: Report) -> None:
    """Install changed requirements in the running services, then restart them once."""
    make_missing_secrets(project, report)
    check_settings(project, report)
    with project.changing():
        backend = launched_backend(project, report)
        refuse_for_image(project)
        if not backend.running():
            raise ServiceError("The services are stopped; run `denzel start` first")
        versions = Versions(project)
        gone_back = versions.is_gone_back
        with new_version(project, "update") as version:
            backend.install(version.number, pip=pip, os=os)
            if gone_back:
                versions.keep_edits()  # another lock file is no edit
            versions.serve(version.number)
        backend.restart()
        versions.end_switch()


def available_ports(project: Project) -> dict[str, int]:
    """Return the ports ``.env`` names, each replaced by the next free one when it is taken."""
    api = free_port(project.settings.api_port)
    return {"api_port": api, "monitor_port": free_port(project.settings.monitor_port, avoid=[api])}


def _runs_image(project: Project) -> bool:
    """Tell whether the project is launched, and from an image."""
    return bool(project.launch.image) and backends.choose(project, None, silent).launched()


def _move_to_image(
    project: Project,
    image: str,
    ports: Mapping[str, int | None],
    report: Report,
    *,
    with_metrics: bool,
    try_first: bool,
) -> Deployment:
    """Have services that run from one image go on with another one; queue and results stay.

    Ports that are None stay, too.
    """
    backend = launched_backend(project, report)
    present = (project.settings.api_port, project.settings.monitor_port)
    chosen = {f"--{name.replace('_', '-')}": port for name, port in ports.items()}
    check_ports({name: port for name, port in chosen.items() if port and port not in present})
    backend.fetch(image)
    if try_first:
        trial = read_report(backend.try_image(image, *check_options(CHECK_TIMEOUT_SECONDS)))
        if not trial["ok"]:
            return replace(deployment(project, backend), check=trial)
    with _metrics_turned_on(project, with_metrics):
        _replace_image(project, backend, image, ports, report)
    return deployment(project, backend)


def _replace_image(
    project: Project,
    backend: Backend,
    image: str,
    ports: Mapping[str, int | None],
    report: Report,
) -> None:
    """Replace the services by those of another image.

    When that fails or is interrupted, the former image serves again.
    """
    before = project.launch
    kept = {"api_port": before.api_port, "monitor_port": before.monitor_port}
    given = {name: port for name, port in ports.items() if port is not None}
    project.record_backend(backend.name, **{**kept, **given}, image=image)
    try:
        backend.start()
    except BaseException as error:
        project.record_backend(backend.name, **kept, image=before.image)
        report(f"Going back to {before.image}; `denzel start` starts what does not run then")
        with suppress(DenzelError, KeyboardInterrupt):  # who types it twice is told the same
            backend.start()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"Interrupted; {before.image} goes on") from None
        raise


def _wanted_ports(
    project: Project, api_port: int | None, monitor_port: int | None
) -> dict[str, int]:
    settings = project.settings
    return {
        "api": settings.api_port if api_port is None else api_port,
        "monitor": settings.monitor_port if monitor_port is None else monitor_port,
    }


def _check_metrics(project: Project, backend: Backend, *, asked_for: bool) -> None:
    """Raise unless Prometheus and Grafana can be started, where they are to be."""
    if not (asked_for or project.settings.with_metrics):
        return
    if backend.name == LOCAL:
        if not asked_for:
            return  # the settings may come from where there is Docker
        raise UsageError(
            "Prometheus and Grafana run in Docker alone. With local processes, set METRICS_KEY in "
            ".env.secrets, and have a Prometheus of your own ask "
            f"{api_url(project.settings)}/metrics"
        )
    port = project.settings.grafana_port
    if reason := why_unavailable(port):
        free = free_port(port + 1)
        raise PortTaken(f"Port {port} {reason}. Set GRAFANA_PORT={free} in .env, say")


@contextmanager
def _metrics_turned_on(project: Project, wanted: bool) -> Iterator[None]:
    """Set WITH_METRICS where it is wanted; put it back when what happens inside fails."""
    changes = wanted and not project.settings.with_metrics
    if changes:
        project.set_environment(**METRICS_ON)
    try:
        yield
    except BaseException:
        if changes:
            project.set_environment(WITH_METRICS="0")
        raise


def _forget_lost_deployment(project: Project, wanted: str | None, already: str) -> None:
    """Clear a record that is no longer true: the project was copied, or its engine is gone.

    ``already`` is what is said of one that is true.
    """
    recorded = project.backend
    if recorded is None:
        return
    try:
        launched = backends.choose(project, None, silent).launched()
    except EngineError:
        if wanted in (None, recorded):
            raise
        launched = False
    if launched:
        raise ProjectError(already)
    project.record_backend(None)


@contextmanager
def _forgotten_on_failure(project: Project, backend: Backend) -> Iterator[None]:
    """Forget the launch when what happens inside fails or is interrupted.

    The record stays if something was left running, so that shutdown knows where to look.
    """
    try:
        yield
    except BaseException:
        if not _still_launched(backend):
            project.record_backend(None)
        raise


def _still_launched(backend: Backend) -> bool:
    try:
        return backend.launched()
    except DenzelError:
        return False  # an engine that cannot be asked runs nothing


def _shut_down_unrecorded_local(project: Project, purge: bool, report: Report) -> None:
    """Clean up local processes that no record mentions: their launch or record was lost."""
    if not project.private.exists():
        return
    try:
        backends.choose(project, LOCAL, report).down(purge=purge)
    except EngineError as error:
        report(f"Local processes were not looked at: {error}")
