"""Prepare a service and become it: install, drop privileges, run the service's program."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from app.runtime.bootstrap.environment import install_packages, wait_for_packages
from app.runtime.bootstrap.errors import PreparationFailed
from app.runtime.bootstrap.hidden_modules import warn_of_hidden_modules
from app.runtime.bootstrap.os_commands import commands_due, run_os_commands
from app.runtime.bootstrap.paths import venv_directory
from app.runtime.bootstrap.privileges import adopt_owner, drop_privileges
from app.runtime.bootstrap.secrets import provide_secrets
from app.runtime.settings import SECRETS, SettingError, load_settings, run_directory
from app.runtime.settings.secrets import FILE
from app.runtime.state import ERROR, STARTING, read_state, write_state

RETRY_AFTER_SECONDS = 60.0
STOPPED = 128 + signal.SIGTERM


def main() -> int:
    """Prepare a service and become it; or, with ``--install``, only install."""
    parser = argparse.ArgumentParser(prog="app.runtime.bootstrap")
    parser.add_argument("--install", choices=["pip", "os", "check"], action="append", default=[])
    parser.add_argument("--os-commands", action="store_true", help="run requirements.sh, too")
    parser.add_argument("--once", action="store_true", help="end at once when it fails")
    parser.add_argument("service")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(STOPPED))
    adopt_owner()
    provide_secrets()
    if arguments.install:
        return _install_only(
            arguments.service, arguments.install, os_commands=arguments.os_commands
        )
    try:
        _check_settings()
        prepare(arguments.service, os_commands=arguments.os_commands)
        for line in warn_of_hidden_modules(Path.cwd()):
            print(line, file=sys.stderr, flush=True)
        become(arguments.program)
    except (PreparationFailed, OSError) as error:  # OSError: no disk space, say
        if arguments.once:
            print(error, file=sys.stderr)
        else:
            _stay_until_retry(arguments.service, str(error))
    return 1


def _check_settings() -> None:
    try:
        load_settings()
    except SettingError as error:
        file = FILE if error.name in SECRETS else ".env"
        raise PreparationFailed(f"{error}; correct it in {file}, then start the service") from error


def prepare(service: str, *, os_commands: bool) -> None:
    """Bring this service's requirements up to date; raises PreparationFailed.

    Packages come first, then requirements.sh; but a package that could not be built may need
    what requirements.sh brings, so it gets a second try afterwards.
    """
    try:
        install_packages(service)
    except PreparationFailed:
        if not commands_due():
            raise
        if os_commands:
            run_os_commands(service)
            install_packages(service, retry=True)
        else:
            wait_for_packages()
    if os_commands:
        run_os_commands(service)
    write_state(service, STARTING)


def become(program: list[str]) -> None:
    """Replace this process by ``program``, run from the virtual environment without root."""
    binaries = venv_directory() / "bin"
    os.environ["PATH"] = f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ["VIRTUAL_ENV"] = str(venv_directory())
    drop_privileges()
    os.execvp(program[0], program)


def _install_only(service: str, wanted: list[str], *, os_commands: bool) -> int:
    """Install what ``wanted`` names beside the running service, whose state is shown again then.

    ``check`` installs what changed since the last time, as a start of the service would.
    """
    path = Path(run_directory()) / f"{service}.json"
    before = read_state(path) if path.exists() else None
    try:
        if "os" in wanted:
            run_os_commands(service, force=True)
        if "pip" in wanted:
            install_packages(service, upgrade=True)
        if "check" in wanted:
            install_packages(service, retry=True)
            if os_commands:
                run_os_commands(service)
    except (PreparationFailed, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            write_state(service, *before)
    return 0


def _stay_until_retry(service: str, reason: str) -> None:
    """Show ERROR for a while, then end, so that the supervisor starts another try."""
    print(f"{service}: {reason}", file=sys.stderr, flush=True)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    write_state(service, ERROR, reason)
    stopped.wait(RETRY_AFTER_SECONDS)
