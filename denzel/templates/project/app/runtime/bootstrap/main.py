"""Prepare a service and become it: install, drop privileges, run the service's program.

With an option, one of these steps alone, beside the running services: ``--install`` what a version
requires, ``--run`` a program where it is installed, ``--switch`` a service to a version.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from app.runtime import redis_check
from app.runtime.bootstrap.environment import install_packages, is_installed, wait_for_packages
from app.runtime.bootstrap.environments import choose_environment, install_beside
from app.runtime.bootstrap.errors import PreparationFailed
from app.runtime.bootstrap.hidden_modules import warn_of_hidden_modules
from app.runtime.bootstrap.os_commands import commands_due, run_os_commands
from app.runtime.bootstrap.paths import in_release_image, venv_directory
from app.runtime.bootstrap.privileges import adopt_owner, drop_privileges
from app.runtime.bootstrap.secrets import provide_secrets
from app.runtime.bootstrap.switch import switch
from app.runtime.bootstrap.version import current_version, enter_version
from app.runtime.resp import RedisRefused
from app.runtime.settings import SECRETS, SettingError, load_settings, run_directory
from app.runtime.settings.secrets import FILE, completed, read_copy
from app.runtime.state import STARTING, read_state, stay_in_error, write_state

RETRY_AFTER_SECONDS = 60.0
STOPPED = 128 + signal.SIGTERM


def main() -> int:
    """Prepare a service and become it, or do what an option says."""
    arguments = _parse_arguments()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(STOPPED))
    enter_version(arguments.version)
    if arguments.run:
        os.environ.update(completed(os.environ, read_copy(run_directory())))
        choose_environment()
        _execute([arguments.service, *arguments.program])
    if arguments.check_redis:
        return _ask_redis()
    if arguments.install or arguments.switch:
        return _change(arguments)
    try:
        _check_run_directory()
        adopt_owner()
        provide_secrets()
        _check_settings()
        if not arguments.once:
            _check_redis()
        prepare(arguments.service, os_commands=arguments.os_commands)
        for line in warn_of_hidden_modules(Path.cwd()):
            print(line, file=sys.stderr, flush=True)
        become(arguments.service, arguments.program, hosted=not arguments.once)
    except (PreparationFailed, OSError) as error:  # OSError: no disk space, say
        if arguments.once:
            print(error, file=sys.stderr)
        else:
            print(f"{arguments.service}: {error}", file=sys.stderr, flush=True)
            stay_in_error(arguments.service, str(error), RETRY_AFTER_SECONDS)
    return 1


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="app.runtime.bootstrap")
    parser.add_argument("--install", choices=["pip", "os", "check"], action="append", default=[])
    parser.add_argument("--os-commands", action="store_true", help="run requirements.sh, too")
    parser.add_argument("--once", action="store_true", help="end at once when it fails")
    parser.add_argument(
        "--version", type=int, help="not the one that serves; 0: the project itself"
    )
    parser.add_argument("--run", action="store_true", help="run SERVICE PROGRAM as it is")
    parser.add_argument("--switch", action="store_true", help="have SERVICE run this version")
    parser.add_argument("--stop-first", action="store_true", help="end its present program first")
    parser.add_argument("--check-redis", action="store_true", help="ask REDIS_URL's, no more")
    parser.add_argument("service")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    return parser.parse_args()


def _ask_redis() -> int:
    """Ask a Redis of the user's whether it can serve, and print what it answers; 1 if it cannot."""
    try:
        adopt_owner()
        provide_secrets()
        _check_settings()
    except (PreparationFailed, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return redis_check.main()


def _check_run_directory() -> None:
    """Raise PreparationFailed where a release image's only place for states is read-only."""
    directory = run_directory()
    if in_release_image() and not os.access(directory, os.W_OK):
        raise PreparationFailed(
            f"{directory} cannot be written by user id {os.getuid()}: mount a tmpfs there, with "
            f"`docker run` by --tmpfs {directory}:mode=1777"
        )


def _check_settings() -> None:
    try:
        load_settings()
    except SettingError as error:
        file = FILE if error.name in SECRETS else ".env"
        remedy = f"correct it in {file}, then start the service"
        if in_release_image():
            remedy = "correct it in the container's environment, or in /run/secrets"
        raise PreparationFailed(f"{error}; {remedy}") from error
    if in_release_image() and not (os.environ.get("REDIS_URL") or os.environ.get("OWN_REDIS_URL")):
        raise PreparationFailed(
            "REDIS_URL is not set, and this image has no Redis of its own: set it in the "
            "container's environment, such as redis://HOST:6379/0, or in the file "
            "/run/secrets/REDIS_URL"
        )


def _check_redis() -> None:
    """Raise PreparationFailed if a Redis of the user's cannot serve; it may come back by itself."""
    settings = load_settings()
    if not settings.redis_url:
        return
    try:
        for notice in redis_check.check_redis(settings):
            print(notice, file=sys.stderr, flush=True)
    except redis_check.RedisUnusable as error:
        raise PreparationFailed(str(error)) from error
    except (OSError, RedisRefused) as error:
        print(f"Redis ({settings.redis}): {error}", file=sys.stderr, flush=True)


def prepare(service: str, *, os_commands: bool) -> None:
    """Bring this service's requirements up to date; raises PreparationFailed.

    Packages come first, then requirements.sh; but a package that could not be built may need
    what requirements.sh brings, so it gets a second try afterwards.  In an image that was built for
    release everything is there.
    """
    if in_release_image():
        write_state(service, STARTING)
        return
    choose_environment()
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


def become(service: str, program: list[str], *, hosted: bool) -> None:
    """Replace this process by ``program``, run from the virtual environment without root.

    ``hosted``: by the process that runs it, and can replace it later.
    """
    _use_programs()
    drop_privileges()
    if hosted:
        host = ["-P", "app/runtime/start.py", "app.runtime.bootstrap.host", service, *program]
        os.execv(sys.executable, [sys.executable, *host])
    os.execvp(program[0], program)


def _execute(program: list[str]) -> None:
    _use_programs()
    os.execvp(program[0], program)


def _use_programs() -> None:
    """Let programs be found in the virtual environment first."""
    binaries = venv_directory() / "bin"
    os.environ["PATH"] = f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ["VIRTUAL_ENV"] = str(venv_directory())


def _change(arguments: argparse.Namespace) -> int:
    """Install something or switch a service, while services run."""
    try:
        if in_release_image():
            raise PreparationFailed(
                "This image is complete, and stays as it is: run `denzel build` for another one"
            )
        adopt_owner()
        provide_secrets()
        if arguments.install:
            _install_beside(arguments.service, arguments.install, os_commands=arguments.os_commands)
        if arguments.switch:
            choose_environment()
            if not is_installed():
                raise PreparationFailed(f"what version {current_version()} requires is gone")
            _use_programs()
            switch(arguments.service, stop_first=arguments.stop_first)
    except (PreparationFailed, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _install_beside(service: str, wanted: list[str], *, os_commands: bool) -> None:
    """Install what ``wanted`` names beside the running service, whose state is shown again then.

    ``check`` installs what changed since the last time, as a start of the service would.
    """
    path = Path(run_directory()) / f"{service}.json"
    before = read_state(path) if path.exists() else None
    try:
        if "os" in wanted:
            run_os_commands(service, force=True)
        if "pip" in wanted:
            install_beside(service, upgrade=True)
        if "check" in wanted:
            _check_requirements(service, os_commands=os_commands)
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            write_state(service, *before)


def _check_requirements(service: str, *, os_commands: bool) -> None:
    try:
        install_beside(service)
    except PreparationFailed:
        if not (os_commands and commands_due()):
            raise
        run_os_commands(service)
        install_beside(service)
    if os_commands:
        run_os_commands(service)
