"""Give a container's service the secrets of ``.env.secrets``, and what is run beside it, too.

``python -m app.runtime.bootstrap.secrets PROGRAM ...`` runs a program beside a service, with the
secrets that the service has.
"""

from __future__ import annotations

import os
import pwd
import sys
import time
from pathlib import Path

from app.runtime.bootstrap.paths import writable_project
from app.runtime.bootstrap.privileges import serving_user
from app.runtime.settings import IN_EITHER_FILE, SETTINGS, run_directory
from app.runtime.settings.secrets import (
    COPY,
    FILE,
    completed,
    read_copy,
    read_secrets,
    write_copy,
)

ELSEWHERE = frozenset(each.name for each in SETTINGS if not each.secret) - IN_EITHER_FILE
"""Settings that Compose must know, too, and so are lines of ``.env`` alone."""
COPY_SECONDS = 15.0
"""How long a container that has just been started may take to have its secrets."""


def provide_secrets() -> None:
    """Put the project's secrets into the environment; leave the copy for what runs beside.

    Local processes have them already.
    """
    if os.environ.get("DENZEL_BACKEND") != "docker":
        return
    try:
        found = read_secrets(writable_project() / FILE)
    except OSError as error:
        print(f"{FILE} cannot be read: {error}", file=sys.stderr, flush=True)
        found = {}
    secrets = {name: text for name, text in found.items() if name not in ELSEWHERE}
    user = serving_user()
    write_copy(run_directory(), secrets, pwd.getpwnam(user).pw_uid if user else os.getuid())
    os.environ.update(completed(os.environ, secrets))


def main(program: list[str]) -> None:
    """Become ``program``, once the service itself has its secrets."""
    until = time.monotonic() + COPY_SECONDS
    while not Path(run_directory(), COPY).exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.execvpe(program[0], program, completed(os.environ, read_copy(run_directory())))


if __name__ == "__main__":
    main(sys.argv[1:])
