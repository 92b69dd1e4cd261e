"""Names of images, as Docker reads them (distribution/reference, "grammar")."""

from __future__ import annotations

import re
from dataclasses import dataclass

from denzel.errors import UsageError

DOCKER_HUB = "docker.io"
LATEST = "latest"
LONGEST_NAME = 255
HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]+)?")
PART = "[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*"
PATH = re.compile(f"{PART}(/{PART})*")
TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """An image's name: ``host`` is empty where it names no registry, ``digest`` without one."""

    host: str
    path: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        """Return it as Docker takes it."""
        return f"{self.name}:{self.tag}{self.digest and '@'}{self.digest}"

    @property
    def name(self) -> str:
        """The name without tag and digest."""
        return f"{self.host}/{self.path}" if self.host else self.path

    @property
    def registry(self) -> str:
        """The registry it is pushed to."""
        return self.host or DOCKER_HUB


def parse_reference(text: str) -> Reference:
    """Return what an image's name says; without a tag it is that of ``latest``, as with Docker.

    Raises UsageError for what Docker would refuse.
    """
    reference, at, digest = text.partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise UsageError(f"{text} cannot be an image's name: {digest!r} is no digest")
    rest, slash, last = reference.rpartition("/")
    last_name, colon, tag = last.partition(":")
    name = f"{rest}{slash}{last_name}"
    if colon and not TAG.fullmatch(tag):
        raise UsageError(
            f"{text} cannot be an image's name: its tag, {tag!r}, must be letters, digits, _, . "
            "and -, 128 at most, and begin with none of the last two"
        )
    first, slash, others = name.partition("/")
    # What has neither dot nor port is no host but a user of Docker Hub's.
    is_host = bool(slash) and (first == "localhost" or any(mark in first for mark in ".:"))
    host, path = (first, others) if is_host else ("", name)
    fits = PATH.fullmatch(path) and (not host or HOST.fullmatch(host))
    if not fits or len(name) > LONGEST_NAME:
        raise UsageError(
            f"{text} cannot be an image's name: Docker takes REGISTRY/NAME:TAG, with lower-case "
            "letters, digits and single separators in NAME, such as registry.example/iris:1.4"
        )
    return Reference(host, path, tag or LATEST, digest)


def as_tag(text: str) -> str:
    """Return a tag that Docker takes, made of any text."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text).lstrip(".-")[:128] or LATEST
