"""Images for release: make one, and run a deployment from one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from denzel import __version__
from denzel.backends.base import Report
from denzel.backends.docker.errors import KEPT
from denzel.backends.docker.references import (
    DOCKER_HUB,
    LATEST,
    Reference,
    as_tag,
    parse_reference,
)
from denzel.backends.docker.release_commands import OCI, RELEASE_LABEL
from denzel.errors import Interrupted, UsageError
from denzel.operations.deployment import check_settings
from denzel.operations.trial import check_options, read_report
from denzel.project import Project
from denzel.revision import Revision, find_revision

EPOCH = "SOURCE_DATE_EPOCH"
"""Names the time that images get (reproducible-builds.org/specs/source-date-epoch)."""
NO_TIME = 315_532_800
"""1980-01-01: of an image whose project has no revision, so that it is the same each time."""


@dataclass(frozen=True)
class Release:
    """An image that was built: ``size`` in bytes, ``digest`` empty where it was not pushed.

    ``check`` is the report of a trial that failed, after which there is no image.
    """

    image: str
    id: str = ""
    size: int = 0
    digest: str = ""
    check: dict[str, Any] | None = None


def build(
    project: Project,
    *,
    tag: str | None,
    push: bool,
    platforms: Sequence[str],
    check: bool,
    timeout: float,
    report: Report,
) -> Release:
    """Build an image with everything in it, try it, and ``push`` it if it works.

    ``timeout`` is for each step of the trial, in seconds.  On failure nothing has the image's name,
    and nothing is pushed.
    """
    from denzel.backends.docker.release import ReleaseImages

    check_settings(project, report, monitor=False)
    revision = find_revision(project.root)
    reference = _usable_reference(tag or _default_tag(project, revision), push=push)
    if key := private_key_in_project(project):
        report(
            f"{key}, a private key, will be in the image: list it in .dockerignore, and mount it "
            "where the image runs"
        )
    arguments = _arguments(project, revision)
    labels = _labels(project, reference, revision)
    images = ReleaseImages(project, report)
    images.preflight(platforms, push=push)
    candidate = f"denzel-build/{as_tag(reference.path.replace('/', '-')).lower()}:{os.getpid()}"
    try:
        images.build(candidate, platforms, arguments, labels)
        if images.keep_lock(candidate):
            report("requirements.lock holds the versions that were installed: keep it in git")
        if check:
            trial = read_report(images.check(candidate, platforms, *check_options(timeout)))
            if not trial["ok"]:
                return Release(str(reference), check=trial)
        images.name(candidate, str(reference))
    finally:
        images.forget(candidate)
    try:
        digest = images.push(reference, platforms, arguments, labels) if push else ""
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted; {reference} was not pushed, and {KEPT}") from None
    return Release(str(reference), *images.facts(str(reference)), digest)


def _usable_reference(tag: str, *, push: bool) -> Reference:
    """Return the name of an image to build; raises UsageError for one that it cannot have."""
    reference = parse_reference(tag)
    if reference.digest:
        raise UsageError(f"{reference} names a digest; an image that is built gets a tag: NAME:TAG")
    if push and reference.registry == DOCKER_HUB and "/" not in reference.path:
        raise UsageError(
            f"{reference} names no registry to push to; name one by --tag REGISTRY/NAME:TAG, or "
            "--tag USER/NAME:TAG for Docker Hub"
        )
    return reference


def private_key_in_project(project: Project) -> str:
    """Return the file with Redis's client key if an image would hold it; empty if it would not."""
    named = project.environment.get("REDIS_KEY") or project.environment.get("REDIS_CERTIFICATE", "")
    root, ignored = project.root.resolve(), project.root / ".dockerignore"
    file = (root / named).resolve()
    if not file.is_file() or not file.is_relative_to(root):
        return ""
    relative = file.relative_to(root).as_posix()
    lines = ignored.read_text(encoding="utf-8").splitlines() if ignored.exists() else []
    return "" if relative in (line.strip().strip("/") for line in lines) else relative


def _default_tag(project: Project, revision: Revision | None) -> str:
    """Return RELEASE_IMAGE, else the project's name and what git calls its revision."""
    if project.settings.release_image:
        return project.settings.release_image
    name = parse_reference(project.settings.image).name
    return f"{name}:{as_tag(revision.description) if revision else LATEST}"


def _arguments(project: Project, revision: Revision | None) -> dict[str, str]:
    return {
        "BASE_IMAGE": project.settings.base_image,
        "PROJECT_NAME": project.name,
        EPOCH: str(_moment(revision) or NO_TIME),
    }


def _labels(project: Project, reference: Reference, revision: Revision | None) -> dict[str, str]:
    described = revision.description if revision else ""
    named = reference.tag if reference.tag != LATEST else described
    moment = _moment(revision)
    created = datetime.fromtimestamp(moment, UTC).isoformat() if moment else ""
    labels = {
        RELEASE_LABEL: __version__,
        f"{OCI}.title": project.name,
        f"{OCI}.version": named,
        f"{OCI}.revision": revision.hash if revision else "",
        f"{OCI}.created": created,
        f"{OCI}.base.name": project.settings.base_image,
    }
    return {name: text for name, text in labels.items() if text}


def _moment(revision: Revision | None) -> int | None:
    """Return the time the image gets, in seconds since 1970; None where nothing tells one."""
    text = os.environ.get(EPOCH, "")
    if text and not text.isdecimal():
        raise UsageError(f"{EPOCH}={text} is no number of seconds since 1970")
    return int(text) if text else revision.committed if revision else None
