"""The argument lists by which an image for release is built, tried and handed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from denzel.backends.base import CHECK_MODULE, START
from denzel.backends.docker.commands import BOOTSTRAP

BUILDX = ("docker", "buildx")
RELEASE_LABEL = "denzel.release"
"""Which an image for release has, and no other: the version of denzel that built it."""
OCI = "org.opencontainers.image"
"""How the names of labels begin that images anywhere have (opencontainers/image-spec)."""
TARGET = "release"
"""The stage of the Dockerfile."""
LOCKED_DOWN = (
    "--read-only", "--tmpfs", "/tmp:exec,mode=1777", "--tmpfs", "/run/denzel:mode=1777",
    "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
)  # fmt: skip
"""How services run from the image, in docker-compose.image.yml, too."""


def inspect_builder() -> list[str]:
    """Print the builder that would build: its driver and its platforms."""
    return [*BUILDX, "inspect"]


def build(
    tag: str,
    *,
    settings: Path,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    platforms: Sequence[str] = (),
    push: bool = False,
    sbom: bool = False,
) -> list[str]:
    """Build the project in the current directory; ``settings`` is a file with pip's in it.

    The image is put into the engine, or pushed.  Provenance would hold the time of the build.
    """
    argv = [*BUILDX, "build", "--progress", "plain", "--target", TARGET, "--tag", tag]
    argv += ["--push" if push else "--load", "--provenance=false", f"--sbom={str(sbom).lower()}"]
    argv += ["--platform", ",".join(platforms)] if platforms else []
    argv += ["--secret", f"id=env,src={settings}"]
    argv += [word for pair in arguments.items() for word in ("--build-arg", "=".join(pair))]
    argv += [word for pair in labels.items() for word in ("--label", "=".join(pair))]
    return [*argv, "."]


def check(
    container: str, image: str, names: Iterable[str], *options: str, platform: str, gpus: bool
) -> list[str]:
    """Run the pipeline in an image as its services will; ``names`` are variables it gets."""
    argv = ["docker", "run", "--rm", "--name", container, *LOCKED_DOWN]
    argv += ["--platform", platform] if platform else []
    argv += ["--gpus", "all"] if gpus else []
    argv += [word for name in names for word in ("--env", name)]
    run = ("--run", "python", "-P", START, CHECK_MODULE)
    return [*argv, image, *BOOTSTRAP, *run, *options]


def push(tag: str) -> list[str]:
    """Push an image."""
    return ["docker", "push", tag]


def pull(tag: str) -> list[str]:
    """Pull an image."""
    return ["docker", "pull", tag]
