"""Whether local services work, asked as they were started: ``.env`` may have changed since."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from denzel.backends.local.layout import Layout
from denzel.services import State
from denzel.templates.project.app.runtime.health import examine
from denzel.templates.project.app.runtime.settings import SettingError, parse_settings

NAMES = (
    "API_HOST", "API_PORT", "MONITOR_HOST", "MONITOR_PORT", "REDIS_URL", "REDIS_PASSWORD",
    "REDIS_CA", "REDIS_CERTIFICATE", "REDIS_KEY", "REDIS_SENTINEL_PASSWORD",
)  # fmt: skip
"""The settings that say where the services answer."""


def write_probe_settings(layout: Layout, environment: Mapping[str, str]) -> None:
    """Record where the services that are about to start will answer."""
    values = {name: environment[name] for name in NAMES if name in environment}
    path = _path(layout)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(values, file)


def examine_services(layout: Layout, run: Path) -> dict[str, tuple[State, str]]:
    """Return state and detail of each service that has recorded one in ``run``.

    It is UP only if the service works.

    Empty when it is not known where the services answer.
    """
    try:
        values = json.loads(_path(layout).read_text(encoding="utf-8"))
        settings = parse_settings(
            {
                **values,
                "OWN_REDIS_URL": f"unix://{layout.redis_socket}",
                "DENZEL_PROJECT": str(layout.root),
                "DENZEL_RUN_DIR": str(run),
            }
        )
    except (OSError, ValueError, TypeError, SettingError):
        return {}
    found = examine(settings)
    return {
        name: (State(shown), detail)
        for name, (shown, detail) in found.items()
        if shown in set(State)
    }


def _path(layout: Layout) -> Path:
    return layout.private / "probe.json"
