"""Write what runs a project on many machines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from denzel import export
from denzel.backends.base import Report
from denzel.backends.docker.references import parse_reference
from denzel.errors import UsageError
from denzel.operations.deployment import check_settings, make_missing_secrets
from denzel.project import Project

KUBERNETES, SWARM = "kubernetes", "swarm"
TARGETS = (SWARM, KUBERNETES)


@dataclass(frozen=True)
class Exported:
    """What was written, and the command that deploys it."""

    directory: Path
    deploy: str


def write_export(
    project: Project,
    target: str,
    directory: Path,
    *,
    image: str = "",
    namespace: str | None = None,
    force: bool = False,
    report: Report,
) -> Exported:
    """Write a stack for Swarm or manifests for Kubernetes into ``directory``.

    ``image`` is the one that the machines pull; without it, RELEASE_IMAGE.
    ``force`` replaces what denzel wrote there before.  Raises UsageError, and ProjectError when the
    directory cannot be written.
    """
    if namespace is not None and target != KUBERNETES:
        raise UsageError("--namespace is for Kubernetes; a stack gets its name when it is deployed")
    place = _place_of(directory, project)
    make_missing_secrets(project, report)
    check_settings(project, report)
    image = image or project.settings.release_image
    if not image:
        raise UsageError(
            "Say which image the machines pull, by --image REGISTRY/NAME:TAG or RELEASE_IMAGE "
            "in .env; `denzel build --push` makes one"
        )
    if "/" not in parse_reference(image).name:
        report(f"{image} names no registry: machines that do not have it look for it at Docker Hub")
    if target == KUBERNETES:
        files = export.kubernetes_files(project, image, export.namespace_of(project, namespace))
        export.write(files, place, force=force)
        for change in export.overlay_changes(project, place):
            report(change)
        return Exported(directory, f"kubectl apply -k {quote(str(directory / export.OVERLAY))}")
    files = export.swarm_files(project, image)
    export.write(files, place, force=force)
    if not project.settings.monitor_user:
        report("There will be no monitoring page: it needs MONITOR_USER, as every machine shows it")
    return Exported(directory, f"cd {quote(str(directory))} && {_stack_command(project, files)}")


def _place_of(directory: Path, project: Project) -> Path:
    """Return where a directory is; raises UsageError for one in the project."""
    place = (Path.cwd() / directory).resolve()
    if place.is_relative_to(project.root.resolve()):
        raise UsageError(
            f"{directory} lies in the project, and would get into its image with its secrets; name "
            "a directory beside it"
        )
    return place


def _stack_command(project: Project, files: export.Export) -> str:
    stack = [name for name in ("stack.yml", "redis.yml", "gpu.yml") if name in files.files]
    options = " ".join(f"-c {name}" for name in stack)
    return f"docker stack deploy --with-registry-auth {options} {project.name}"
