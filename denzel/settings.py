"""The settings table as a project's ``.env``; the table itself is the project's own.

One table (``app/runtime/settings/__init__.py`` of the project) makes the ``.env`` written here, the
validation, and the documentation's settings page.
"""

from __future__ import annotations

import re
import secrets
import textwrap
from collections.abc import Mapping

from denzel.templates.project.app.runtime.callbacks.signing import new_secret
from denzel.templates.project.app.runtime.settings import PROJECT_NAME_PATTERN, SETTINGS, Setting

__all__ = ["PROJECT_NAME_PATTERN", "SETTINGS", "Setting", "project_values", "render_env"]

GPU_BASE_IMAGE = "nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04"
IMAGE_TAG = "1.0.0"

HEADER = """\
# Settings of this deployment, read by denzel, Docker Compose and the services alike.
# One NAME=value a line. A line that is missing or empty has the default shown above it.
# Changes take effect at the next `denzel restart`; ports and image names at the next `denzel launch`.
"""  # noqa: E501 - a line of the file it writes


def project_values(name: str, *, gpu: bool) -> dict[str, str]:
    """Return what a new project called ``name`` sets differently from the defaults."""
    values = {
        "PROJECT_NAME": name,
        "IMAGE": f"{_repository(name)}:{IMAGE_TAG}",
        "GPU": str(int(gpu)),
        "CALLBACK_SECRET": new_secret(),
        "REDIS_PASSWORD": secrets.token_urlsafe(24),
    }
    if gpu:
        values["BASE_IMAGE"] = GPU_BASE_IMAGE
    return values


def _repository(name: str) -> str:
    """Return the name an image of project ``name`` can have: separators single and inside."""
    return re.sub("[_-]{2,}", "-", name).rstrip("_-")


def render_env(values: Mapping[str, str]) -> str:
    """Return the text of a ``.env``: every setting with its meaning, ``values`` filled in."""
    return HEADER + "".join(
        "\n" + render_setting(setting, values.get(setting.name, setting.default))
        for setting in SETTINGS
    )


def render_setting(setting: Setting, value: str) -> str:
    """Return a setting's lines in ``.env``: its meaning as a comment, then NAME=value."""
    default = f"; default: {setting.default}" if setting.default else ""
    comment = textwrap.wrap(
        f"{setting.meaning} ({setting.takes}{default})",
        width=98,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
    )
    return "\n".join([*comment, f"{setting.name}={value}"]) + "\n"
