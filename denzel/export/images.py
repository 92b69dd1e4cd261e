"""The parts of an image's name."""

from __future__ import annotations

import re

from denzel.backends.docker.references import parse_reference
from denzel.errors import UsageError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def split_reference(text: str) -> tuple[str, str, str]:
    """Return an image's name, tag and digest, which is empty where there is none.

    Raises UsageError for what is no image's name.
    """
    name, at, digest = text.partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise UsageError(f"{text} cannot be an image's name: {digest!r} is no digest")
    reference = parse_reference(name)
    return reference.name, reference.tag, digest
