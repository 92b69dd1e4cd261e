"""Have a running service go on with another version of the project: what asks its host."""

from __future__ import annotations

import json
import os
from pathlib import Path

from app.runtime.bootstrap.errors import PreparationFailed
from app.runtime.bootstrap.paths import ENVIRONMENT_VARIABLE
from app.runtime.bootstrap.run_directories import connect
from app.runtime.bootstrap.version import (
    PROJECT_VARIABLE,
    VERSION_VARIABLE,
    current_version,
    settings_of,
)

OF_A_VERSION = (VERSION_VARIABLE, ENVIRONMENT_VARIABLE, "PATH", "VIRTUAL_ENV")
"""What differs between the environments of versions, besides their settings."""


def switch(service: str, *, stop_first: bool) -> None:
    """Have ``service`` run the version this process is in; raises PreparationFailed.

    With ``stop_first`` its present program ends before the other one is started.
    """
    settings = settings_of(Path(os.environ[PROJECT_VARIABLE]), current_version())
    request = {
        "directory": str(Path.cwd()),
        "environment": {**settings, **{name: os.environ[name] for name in OF_A_VERSION}},
        "stop_first": stop_first,
    }
    try:
        with connect(service) as host:
            host.sendall(json.dumps(request).encode() + b"\n")
            with host.makefile("rb") as lines:
                answer = lines.readline()
    except OSError as error:
        raise PreparationFailed(
            f"{service} cannot be replaced while it runs ({error}); `denzel restart` starts it anew"
        ) from error
    if not answer:
        raise PreparationFailed(f"{service} has ended meanwhile")
    reason = json.loads(answer)["error"]
    if reason:
        raise PreparationFailed(f"{service}: {reason}")
