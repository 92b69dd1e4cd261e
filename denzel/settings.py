"""The settings table as a project's ``.env`` and ``.env.secrets``; the table is the project's own.

One table (``app/runtime/settings/table.py`` of the project) makes the files written here, the
validation, and the documentation's settings page.
"""

from __future__ import annotations

import re
import secrets
import textwrap
from collections.abc import Mapping

from denzel.env_file import setting_line
from denzel.templates.project.app.runtime.callbacks.signing import new_secret
from denzel.templates.project.app.runtime.settings import (
    PROJECT_NAME_PATTERN,
    SECRETS,
    SETTINGS,
    Setting,
)

__all__ = [
    "PROJECT_NAME_PATTERN",
    "SECRETS",
    "SETTINGS",
    "Setting",
    "new_secrets",
    "project_values",
    "render_env",
    "render_secrets",
    "render_setting",
]

GPU_BASE_IMAGE = "nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04"
IMAGE_TAG = "1.0.0"

HEADER = """\
# Settings of this deployment, read by denzel, Docker Compose and the services alike.
# One NAME=value a line. A line that is missing or empty has the default shown above it.
# Changes take effect at the next `denzel reload` or `denzel restart`, those of Redis and HTTPS at the
# latter; ports and image names at the next `denzel launch`.
# This file belongs into version control: passwords and tokens stand in .env.secrets, which does not.
"""  # noqa: E501 - lines of the file it writes

SECRETS_HEADER = """\
# Secrets of this deployment, and whatever else must not get into version control, such as tokens
# that your pipeline needs. One NAME=value a line; the services find them in their environment.
# What is missing is made anew at the next `denzel launch`, start, restart or reload. Changes take
# effect at the next `denzel reload` or `denzel restart`, those of Redis at the latter.
"""


def project_values(name: str, *, gpu: bool) -> dict[str, str]:
    """Return what a new project called ``name`` sets differently from the defaults."""
    values = {
        "PROJECT_NAME": name,
        "IMAGE": f"{_repository(name)}:{IMAGE_TAG}",
        "GPU": str(int(gpu)),
    }
    if gpu:
        values["BASE_IMAGE"] = GPU_BASE_IMAGE
    return values


def new_secrets(values: Mapping[str, str]) -> dict[str, str]:
    """Return new values for the secrets that a deployment with the settings ``values`` lacks."""
    made = {"CALLBACK_SECRET": new_secret()}
    if not values.get("REDIS_URL"):  # another Redis has a password of its own, or none
        made["REDIS_PASSWORD"] = secrets.token_urlsafe(24)
    if values.get("MONITOR_USER"):
        made["MONITOR_PASSWORD"] = secrets.token_urlsafe(24)
    if values.get("WITH_METRICS", "0") not in ("", "0"):
        made["METRICS_KEY"] = secrets.token_urlsafe(24)
    return {name: text for name, text in made.items() if not values.get(name)}


def _repository(name: str) -> str:
    """Return the name an image of project ``name`` can have: separators single and inside."""
    return re.sub("[_-]{2,}", "-", name).rstrip("_-")


def render_env(values: Mapping[str, str]) -> str:
    """Return the text of a ``.env``: every setting with its meaning, ``values`` filled in."""
    return HEADER + _render(values, secret=False)


def render_secrets(values: Mapping[str, str]) -> str:
    """Return the text of ``.env.secrets``: each secret with its meaning, ``values`` filled in."""
    return SECRETS_HEADER + _render(values, secret=True)


def _render(values: Mapping[str, str], *, secret: bool) -> str:
    return "".join(
        "\n" + render_setting(setting, values.get(setting.name, setting.default))
        for setting in SETTINGS
        if setting.secret is secret
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
    return "\n".join([*comment, setting_line(setting.name, value)]) + "\n"
