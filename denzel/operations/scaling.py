"""How many replicas of a service there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from denzel import backends
from denzel.backends.base import Backend, Report
from denzel.errors import DenzelError, ServiceError, UsageError
from denzel.operations.deployment import silent
from denzel.project import Project
from denzel.services import BALANCER, REPLICA_SETTINGS
from denzel.templates.project.app.runtime.settings.table import MOST_REPLICAS

SINGLE = {
    "redis": "it holds the queue and every result, which two could not agree on",
    "callbacks": "one delivers hundreds of callbacks at once, and keeps to each receiver's limits",
    "monitor": "one page shows all workers",
}
"""The services of which there is one, and why."""
PROFILES = "COMPOSE_PROFILES"
GIB = 2**30


@dataclass(frozen=True)
class Replicas:
    """How many replicas of a service are wanted, and how many run now."""

    service: str
    wanted: int
    running: int


def replicas(project: Project) -> list[Replicas]:
    """Return the numbers of every service of which there can be several."""
    backend = backends.choose(project, None, silent)
    is_launched = backend.launched()
    return [
        Replicas(service, _wanted(project, service), _running(backend, service) * is_launched)
        for service in REPLICA_SETTINGS
    ]


def scale(project: Project, wanted: Mapping[str, int], *, report: Report) -> None:
    """Have so many replicas of services, now if they run, and at every start from then on.

    Raises UsageError for what cannot be had, and then nothing is changed.  When it fails otherwise,
    the numbers are those of before again.
    """
    for service, number in wanted.items():
        _check(service, number)
    with project.changing():
        backend = backends.choose(project, None, report)
        runs = backend.launched() and backend.running()
        if runs:
            for service, number in wanted.items():
                _check_memory(backend, service, number)
        before = {name: str(_wanted(project, name)) for name in wanted}
        _record(project, {name: str(number) for name, number in wanted.items()})
        if not runs:
            report("It takes effect when the services are started")
            return
        try:
            backend.scale(list(wanted))
        except BaseException:
            _record(project, before)
            report(f"Going back to {' '.join(f'{name}={text}' for name, text in before.items())}")
            with suppress(DenzelError):
                backend.scale(list(before))
            raise


def _record(project: Project, numbers: Mapping[str, str]) -> None:
    """Write numbers into ``.env``, with what plain Compose needs for several APIs."""
    values = {REPLICA_SETTINGS[name]: text for name, text in numbers.items()}
    present = project.read_settings_file()
    if "api" in numbers:
        several = numbers["api"] != "1"
        profiles = [name for name in present.get(PROFILES, "").split(",") if name]
        profiles = [name for name in profiles if name != BALANCER] + [BALANCER] * several
        for_compose = {
            "API_REPLICA_PORT": "0" if several else "",
            "API_REPLICA_HOST": "127.0.0.1" if several else "",
            PROFILES: ",".join(profiles),
        }
        values |= {name: text for name, text in for_compose.items() if text or name in present}
    project.set_environment(**values)


def _wanted(project: Project, service: str) -> int:
    return int(getattr(project.settings, REPLICA_SETTINGS[service].lower()))


def _running(backend: Backend, service: str) -> int:
    try:
        return len(backend.replicas(service))
    except ServiceError:
        return 0


def _check(service: str, number: int) -> None:
    """Raise UsageError unless there can be so many replicas of a service."""
    known = " and ".join(REPLICA_SETTINGS)
    if service in SINGLE:
        raise UsageError(f"There is one {service}: {SINGLE[service]}. {known} can be scaled")
    if service not in REPLICA_SETTINGS:
        raise UsageError(f"{service} cannot be scaled; {known} can")
    if number < 1:
        raise UsageError(f"{service}={number}: at least 1 runs; `denzel stop` stops all services")
    if number > MOST_REPLICAS:
        raise UsageError(f"{service}={number}: at most {MOST_REPLICAS} run on one machine")


def _check_memory(backend: Backend, service: str, number: int) -> None:
    """Raise UsageError where so many replicas, each as large as those now, do not fit."""
    try:
        used, total = backend.memory(service)
    except DenzelError:
        return  # one that is not up says nothing
    if used * number > total:
        raise UsageError(
            f"{service}={number}: each uses {used / GIB:.1f} GiB now, and the machine has "
            f"{total / GIB:.1f} GiB; {max(1, total // used)} fit at most"
        )


def scaled(words: Sequence[str]) -> dict[str, int]:
    """Return what ``SERVICE=NUMBER`` words ask for; raises UsageError for any other."""
    wanted: dict[str, int] = {}
    for word in words:
        service, _, text = word.partition("=")
        if service in wanted:
            raise UsageError(f"{service} is given twice; give one number of replicas")
        try:
            wanted[service] = int(text)
        except ValueError:
            raise UsageError(f"{word!r} is not SERVICE=NUMBER, such as denzel=3 or api=2") from None
    return wanted
