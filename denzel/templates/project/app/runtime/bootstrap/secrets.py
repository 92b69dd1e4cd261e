"""Give a container's service its secrets, and what is run beside it, too.

They are those of the project's ``.env.secrets``; in an image that `denzel build` made, files in
``/run/secrets`` named as the settings, as Swarm and Kubernetes mount them.

``python -m app.runtime.bootstrap.secrets PROGRAM ...`` runs a program beside a service, with the
secrets that the service has.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
import time
from pathlib import Path

from app.runtime.bootstrap.errors import PreparationFailed
from app.runtime.bootstrap.paths import in_release_image, writable_project
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
MOUNTED = "/run/secrets"
VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
COPY_SECONDS = 15.0
"""How long a container that has just been started may take to have its secrets."""


def provide_secrets() -> None:
    """Put the project's secrets into the environment; leave the copy for what runs beside.

    Local processes have them already.  Raises PreparationFailed for a file that cannot be read.
    """
    if in_release_image():
        _hand_on(mounted_secrets(Path(os.environ.get("DENZEL_SECRETS", MOUNTED))))
    elif os.environ.get("DENZEL_BACKEND") == "docker":
        _hand_on(_project_secrets())


def mounted_secrets(directory: Path) -> dict[str, str]:
    """Return what the files in a directory hold, by their names, without a last line's end.

    Files whose names no variable can have are passed over.  Raises PreparationFailed for one that
    cannot be read.
    """
    try:
        files = [path for path in sorted(directory.iterdir()) if VARIABLE.fullmatch(path.name)]
        return {
            path.name: path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
            for path in files
            if path.is_file()
        }
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise PreparationFailed(
            f"The secrets in {directory} cannot be read by user id {os.getuid()}: {error}"
        ) from error


def _project_secrets() -> dict[str, str]:
    try:
        found = read_secrets(writable_project() / FILE)
    except OSError as error:
        print(f"{FILE} cannot be read: {error}", file=sys.stderr, flush=True)
        found = {}
    return {name: text for name, text in found.items() if name not in ELSEWHERE}


def _hand_on(secrets: dict[str, str]) -> None:
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
