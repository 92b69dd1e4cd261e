"""Bring a project up to this version, and the services that run it, too."""

from __future__ import annotations

from pathlib import Path

from denzel import backends
from denzel.backends.base import Report
from denzel.conversion import find_version_0_3, plan_conversion
from denzel.errors import DenzelError
from denzel.operations.deployment import silent
from denzel.operations.lifecycle import restart
from denzel.project import Project, find_project
from denzel.upgrade import UpgradeResult, plan_upgrade

OLD_SERVICES = (
    "The services of denzel 0.3 go on with the code they have loaded, but must not be restarted: "
    "run `denzel shutdown`, then `denzel launch` puts this version into service"
)
RUNS_IMAGE = (
    "The services run from the image {}, which stays as it is: `denzel build` makes one of this "
    "version, and `denzel launch --image` runs it"
)


def upgrade(directory: Path, report: Report) -> UpgradeResult:
    """Upgrade the project that ``directory`` lies in; convert one of denzel 0.3.

    All files are replaced, or none.  Running services are restarted, so that they do not mix two
    versions; those that run from an image, and the services of 0.3, are left alone.
    """
    old = find_version_0_3(directory)
    if old is not None:
        planned = plan_conversion(old)
        with old.changing():
            planned.changes.apply()
        if _runs(Project(old.root)):
            planned.result.notes.append(OLD_SERVICES)
        return planned.result
    project = find_project(directory)
    running = _runs(project)
    with project.changing():
        planned = plan_upgrade(project)
        image = project.launch.image if running else None
        restarted = running and image is None and planned.result.touches_services
        if restarted:
            report("The services are running: they are restarted when the files are in place")
        planned.changes.apply()
        if image is not None and planned.result.touches_services:
            planned.result.notes.append(RUNS_IMAGE.format(image))
        project.forget()
    if restarted:
        restart(project, report=report)
    return planned.result


def _runs(project: Project) -> bool:
    """Tell whether any service of a project runs; none does where nothing can be asked."""
    try:
        backend = backends.choose(project, None, silent)
        return backend.launched() and backend.running()
    except DenzelError:
        return False
