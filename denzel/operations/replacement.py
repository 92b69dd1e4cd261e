"""Replace what runs by another version, while requests are answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from denzel.backends.base import Backend, Report
from denzel.errors import DenzelError, Interrupted, ProjectError, RequirementsError, ServiceError
from denzel.operations.deployment import (
    check_settings,
    launched_backend,
    make_missing_secrets,
    refuse_for_image,
    serves,
)
from denzel.operations.trial import check_options, read_report
from denzel.project import Project
from denzel.services import service_of
from denzel.versions import Version, Versions

SERVICES = ("denzel", "api", "callbacks", "monitor")
"""In the order in which they are replaced: what the new API has verified, no old worker gets."""
STOP_FIRST = ("callbacks", "monitor")
"""What can be away for a moment, and of which two at once would be in each other's way."""
NOTHING_CHANGED = "Nothing was changed: version {} goes on"
MIXED = "Some services may run another version than {}: `denzel restart` puts it right"


@dataclass(frozen=True)
class Replacement:
    """What became of it; ``check`` is the report of a trial that failed.

    ``is_new`` is false where nothing had changed.
    """

    version: int
    check: dict[str, Any] | None = None
    is_new: bool = True


def reload(project: Project, *, stop_first: bool, timeout: float, report: Report) -> Replacement:
    """Have the services go on with the project's files and settings as they are now.

    They are tried beside the running ones, a step of the pipeline for ``timeout`` seconds at most.
    ``stop_first``: the model is loaded only when the present one is gone.  Raises a DenzelError
    when they do not work, and then nothing has changed.
    """
    refuse_for_image(project)
    make_missing_secrets(project, report)
    check_settings(project, report)
    with project.changing():
        backend = _working_backend(project, report)
        project.forget()
        versions = Versions(project)
        known = {version.number for version in versions.all()}
        version = versions.of_project("reload")
        if version.number == versions.served and not versions.is_switching:
            return Replacement(version.number, is_new=False)
        return _Replacing(project, backend, report).run(
            version, is_new=version.number not in known, stop_first=stop_first, timeout=timeout
        )


def rollback(
    project: Project, number: int | None, *, stop_first: bool, timeout: float, report: Report
) -> Replacement:
    """Have the services go on with version ``number``; by default the last one before that worked.

    Services that do not work are restarted with it.
    """
    refuse_for_image(project)
    with project.changing():
        backend = launched_backend(project, report)
        versions = Versions(project)
        target = versions.find(number) if number else versions.before(versions.served)
        if target is None:
            raise ProjectError(
                "There is no earlier version that worked; `denzel versions` lists those there are"
            )
        versions.keep_edits()
        version = versions.copy(target.number, "rollback")
        report(f"Going back to version {target.number}, as version {version.number}")
        if serves(backend):
            return _Replacing(project, backend, report).run(
                version, is_new=True, stop_first=stop_first, timeout=timeout
            )
        versions.serve(version.number)
        if backend.running():
            report("The services do not work: they are restarted")
            backend.restart()
        versions.end_switch()
        return Replacement(version.number)


def versions(project: Project) -> tuple[Sequence[Version], int, int]:
    """Return the project's versions, the number of the one that serves, and the bytes they take."""
    refuse_for_image(project)
    found = Versions(project)
    return found.all(), found.served, found.size()


def _working_backend(project: Project, report: Report) -> Backend:
    backend = launched_backend(project, report)
    if not backend.running():
        raise ServiceError("The services are stopped; `denzel start` starts them with your changes")
    if not serves(backend):
        raise ServiceError(
            "The services do not work as they are, so there is nothing to keep up meanwhile; "
            "`denzel restart` starts them with your changes"
        )
    return backend


class _Replacing:
    """One replacement of the services' version."""

    def __init__(self, project: Project, backend: Backend, report: Report) -> None:
        self._versions = Versions(project)
        self._backend = backend
        self._report = report
        self._before = self._versions.served
        self._is_mixed = self._versions.is_switching
        """Whether services may run different versions."""

    def run(
        self, version: Version, *, is_new: bool, stop_first: bool, timeout: float
    ) -> Replacement:
        """Try the version, then switch service after service to it."""
        try:
            self._report("Installing what is required" if is_new else "Looking at what is required")
            self._backend.prepare(version.number)
            check = None if stop_first else self._check(version, timeout)
            if check is None or check["ok"]:
                self._switch_all(version, stop_first)
                return Replacement(version.number)
        except (RequirementsError, ServiceError) as error:
            self._drop(version, is_new)
            raise type(error)(f"{error}. {self._outcome}") from error
        except KeyboardInterrupt:
            self._drop(version, is_new)
            raise Interrupted(f"Interrupted. {self._outcome}") from None
        except BaseException:
            self._drop(version, is_new)
            raise
        self._drop(version, is_new)
        return Replacement(self._before, check)

    @property
    def _outcome(self) -> str:
        return (MIXED if self._is_mixed else NOTHING_CHANGED).format(self._before)

    def _drop(self, version: Version, is_new: bool) -> None:
        if is_new and not self._is_mixed:
            self._versions.drop(version.number)

    def _check(self, version: Version, timeout: float) -> dict[str, Any]:
        self._report("Trying the pipeline beside the one that runs")
        options = check_options(timeout)
        return read_report(self._backend.check(None, *options, version=version.number))

    def _switch_all(self, version: Version, stop_first: bool) -> None:
        switched: list[str] = []
        was_mixed, self._is_mixed = self._is_mixed, True
        self._versions.begin_switch()
        try:
            for replica in [each for name in SERVICES for each in self._backend.replicas(name)]:
                switched.append(replica)
                self._switch(replica, version.number, stop_first)
                self._report(f"Replacing {replica:<9} ... done")
        except ServiceError:
            self._undo(switched[:-1], stop_first, was_mixed)
            raise
        except BaseException:
            # It is not known whether the last one was switched.
            self._report(f"Going back to version {self._before}")
            self._undo(switched, stop_first, was_mixed)
            raise
        self._versions.serve(version.number)
        self._versions.end_switch()
        self._versions.mark_worked()

    def _switch(self, replica: str, number: int, stop_first: bool) -> None:
        first = replica in STOP_FIRST or (stop_first and service_of(replica) == "denzel")
        self._backend.switch(replica, number, stop_first=first)

    def _undo(self, replicas: Sequence[str], stop_first: bool, was_mixed: bool) -> None:
        """Switch replicas of services back to the version that serves."""
        failed = was_mixed
        for replica in replicas:
            try:
                self._switch(replica, self._before, stop_first)
            except DenzelError as error:
                failed = True
                self._report(f"{replica} did not go back ({error})")
        if not failed:
            self._is_mixed = False
            self._versions.end_switch()
