"""The trial of a pipeline without services: what it is asked, and what it reports."""

from __future__ import annotations

import json
from typing import Any

from denzel.errors import ServiceError

CHECK_TIMEOUT_SECONDS = 60.0


def check_options(timeout: float, sample: bytes = b"") -> list[str]:
    """Return the options of a trial in which each step may take ``timeout`` seconds.

    The sample's length is told, since a container may never hear of its end: an end that comes
    while the container's process is being made is lost (containerd/containerd issue 4489).
    """
    return ["--timeout", str(timeout), "--sample-bytes", str(len(sample))]


def read_report(answer: str) -> dict[str, Any]:
    """Return the report of a trial, whose ``ok`` tells whether the pipeline works.

    Raises ServiceError for what is no report.
    """
    try:
        return dict(json.loads(answer))
    except ValueError as error:
        raise ServiceError(f"The check gave no report but: {answer[-500:]}") from error
