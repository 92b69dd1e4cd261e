"""The environment variables that local services, and programs beside them, run with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from denzel.backends.local.layout import REDIS_SOCKET, Layout
from denzel.errors import UsageError
from denzel.project import Project

LOOPBACK = "127.0.0.1"
INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "USER")
"""What services have in common with the terminal that started them: the machine and its user.

Everything else would differ from terminal to terminal, and some of it changes what a service
does: CELERY_BROKER_URL, GUNICORN_CMD_ARGS, FLOWER_*, PYTHONPATH, proxies.
"""


def service_environment(project: Project, layout: Layout, sockets: Path) -> dict[str, str]:
    """Return the environment of the project's services; their sockets are in ``sockets``.

    It is built from nothing: INHERITED, then ``.env``, then what the backend decides.  Raises
    UsageError for a value that no environment can hold.
    """
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    settings = project.settings
    environment = {
        **inherited,
        **project.environment,
        "PROJECT_NAME": settings.project_name,
        "API_HOST": settings.api_host or LOOPBACK,
        "OWN_REDIS_URL": f"unix://{sockets / REDIS_SOCKET}",
        "PYTHONUNBUFFERED": "1",  # what a pipeline prints stands in the log at once
        "DENZEL_BACKEND": "local",
        "DENZEL_RUN_DIR": str(layout.run),
        "DENZEL_LOGS": layout.relative(layout.logs),
        "DENZEL_VENV": str(layout.venv),
        "DENZEL_PYTHON": sys.executable,
    }
    for name, value in environment.items():
        if "\0" in value:
            raise UsageError(f"In {project.env_file}: {name} holds a zero byte")
    return environment


def shell_startup(layout: Layout) -> Path:
    """Write what an interactive bash reads at its start; return the file.

    The user's own start-up file often puts other directories first on PATH, so the virtual
    environment is activated after it.
    """
    file = layout.private / "bashrc"
    file.write_text(
        "if [ -f ~/.bashrc ]; then . ~/.bashrc; fi\n"
        'activate="$DENZEL_ENVIRONMENT/bin/activate"\n'
        'if [ -f "$activate" ]; then . "$activate"; fi\n',
        encoding="utf-8",
    )
    return file
