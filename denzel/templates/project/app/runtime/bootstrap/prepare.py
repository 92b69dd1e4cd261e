"""Start a service: install the requirements, give up root, become the service's program.

``python3 -m app.runtime.bootstrap SERVICE PROGRAM ARGUMENT...`` is what each entrypoint runs, with
the machine's bare Python, so the standard library alone is used here.

Requirements go into one virtual environment that all services share ($DENZEL_VENV).  The
first service to get its lock installs; the others wait, and find the work done.  A stamp
holds the fingerprint of what was installed, so nothing is installed twice; a failure leaves a
stamp too, so that three services do not try three times what one could not.

requirements.sh is different: it changes the machine, so it runs once in each container that
runs the user's code, as root, and never on a machine that is not a container
($DENZEL_OS_COMMANDS is set in the image alone).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from app.runtime.settings import load_settings
from app.runtime.state import ERROR, OS_COMMANDS, PIP_INSTALLING, STARTING, read_state, write_state

RUNTIME_REQUIREMENTS = Path("app/runtime/requirements.txt")
USER_REQUIREMENTS = Path("requirements.txt")
OS_REQUIREMENTS = Path("requirements.sh")
WORKER_LOG = Path("logs/worker.log")
RETRY_AFTER_SECONDS = 60.0
OTHER_SERVICES_SECONDS = 900.0


class PreparationFailed(Exception):
    """The service cannot start; the text is shown by ``denzel status``."""


def venv_directory() -> Path:
    """Return the virtual environment the services share."""
    return Path(os.environ.get("DENZEL_VENV", ".denzel/venv")).absolute()


def log_path() -> Path:
    """Return the file that holds the output of the last installation."""
    return Path("logs/requirements.log")


def os_log_path(service: str) -> Path:
    """Return the file that holds the output of requirements.sh in one service's container."""
    return Path(f"logs/requirements-{service}.log")


def fingerprint(*files: Path) -> str:
    """Return a digest of the files' contents and of the Python that installs them."""
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes() if file.exists() else b"")
        digest.update(b"\0")
    return digest.hexdigest()


def is_installed() -> bool:
    """Tell whether the virtual environment holds what the requirement files ask for now."""
    return _read_stamp(_pip_stamp()).get("installed") == _pip_fingerprint()


def install_packages(service: str, *, upgrade: bool = False, retry: bool = False) -> None:
    """Install the runtime's and the user's requirements in one step, unless they are there.

    One resolution over both files: either everything fits together and is installed, or
    nothing is changed.  ``upgrade`` installs even when nothing changed; ``retry`` ignores that
    the same requirements failed a moment ago.  Raises PreparationFailed.
    """
    if is_installed() and not upgrade:
        return
    write_state(service, PIP_INSTALLING)
    with _locked(venv_directory()):
        if is_installed() and not upgrade:
            return
        stamp = _read_stamp(_pip_stamp())
        recent = time.time() - stamp.get("failed_at", 0.0) < RETRY_AFTER_SECONDS
        if stamp.get("failed") == _pip_fingerprint() and recent and not retry and not upgrade:
            raise PreparationFailed(stamp["reason"])
        wanted = _pip_fingerprint()
        try:
            _create_venv()
            _pip_install(upgrade)
        except PreparationFailed as error:
            failure = {
                **stamp, "failed": wanted, "failed_at": time.time(), "reason": str(error),
                "before_os_commands": _os_commands_due(),
            }  # fmt: skip
            _pip_stamp().write_text(json.dumps(failure))
            raise
        _pip_stamp().write_text(json.dumps({"installed": wanted}))


def has_commands(script: Path = OS_REQUIREMENTS) -> bool:
    """Tell whether a shell script holds anything but comments and blank lines."""
    if not script.exists():
        return False
    lines = script.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.strip() and not line.strip().startswith("#") for line in lines)


def run_os_commands(service: str, *, force: bool = False) -> None:
    """Run all of requirements.sh with bash, once in this container.

    ``force`` runs it again although it did not change.  Raises PreparationFailed.
    """
    if not _os_commands_due(force):
        return
    write_state(service, OS_COMMANDS)
    code, tail = _run_logged(["bash", str(OS_REQUIREMENTS)], os_log_path(service))
    _give_new_files_to_owner()
    if code:
        raise PreparationFailed(
            f"requirements.sh ended with exit code {code}: {tail[-1]} (see {os_log_path(service)})"
        )
    _os_stamp().parent.mkdir(parents=True, exist_ok=True)
    _os_stamp().write_text(json.dumps({"installed": fingerprint(OS_REQUIREMENTS)}))


def prepare(service: str, *, os_commands: bool) -> None:
    """Bring this service's requirements up to date; raises PreparationFailed.

    Packages come first, then requirements.sh; but a package that could not be built may need
    what requirements.sh brings, so it gets a second try afterwards.
    """
    try:
        install_packages(service)
    except PreparationFailed:
        if not _os_commands_due():
            raise
        if os_commands:
            run_os_commands(service)
            install_packages(service, retry=True)
        else:
            _wait_for_packages()
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


def drop_privileges() -> None:
    """Stop being root, if $DENZEL_USER names whom to be."""
    user = os.environ.get("DENZEL_USER")
    if not user or os.getuid() != 0:
        return
    account = pwd.getpwnam(user)
    _let_write(account)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ.update(HOME=account.pw_dir, USER=user, LOGNAME=user)


def adopt_owner() -> None:
    """Give $DENZEL_USER the ids of the project directory's owner, so that files are theirs.

    A directory of root's is served by the image's own user instead: nothing serves as root.
    """
    user = os.environ.get("DENZEL_USER")
    if not user or os.getuid() != 0:
        return
    owner, account = Path.cwd().stat(), pwd.getpwnam(user)
    if owner.st_uid in (0, account.pw_uid):
        return
    group = owner.st_gid or account.pw_gid
    for command in (
        ["groupmod", "--non-unique", "--gid", str(group), user],
        ["usermod", "--non-unique", "--uid", str(owner.st_uid), "--gid", str(group), user],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _pip_fingerprint() -> str:
    return fingerprint(RUNTIME_REQUIREMENTS, USER_REQUIREMENTS)


def _let_write(account: pwd.struct_passwd) -> None:
    """Let the user who serves write states and log files, and nothing else."""
    run_directory = Path(load_settings().denzel_run_dir)
    for path in (run_directory, *run_directory.glob("*.json")):
        os.chown(path, account.pw_uid, account.pw_gid)
    WORKER_LOG.parent.mkdir(exist_ok=True)
    WORKER_LOG.touch()
    for path in (WORKER_LOG.parent, WORKER_LOG):
        # A mount of some desktop engines knows no owners; there, anyone may write.
        with suppress(OSError):
            os.chown(path, Path.cwd().stat().st_uid, account.pw_gid)
            path.chmod(path.stat().st_mode | (0o070 if path.is_dir() else 0o060))


def _give_new_files_to_owner() -> None:
    """Give what root wrote into the project directory to the directory's owner."""
    owner = Path.cwd().stat()
    if not os.environ.get("DENZEL_USER") or os.getuid() != 0 or owner.st_uid == 0:
        return
    for path in Path().rglob("*"):
        with suppress(OSError):
            if path.lstat().st_uid == 0:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _wait_for_packages() -> None:
    """Wait until a service that runs requirements.sh has installed the packages, or failed to."""
    deadline = time.monotonic() + OTHER_SERVICES_SECONDS
    while not is_installed():
        stamp = _read_stamp(_pip_stamp())
        final = stamp.get("failed") == _pip_fingerprint() and not stamp.get("before_os_commands")
        if final or time.monotonic() > deadline:
            raise PreparationFailed(stamp.get("reason", "pip install failed"))
        time.sleep(1)


def _os_stamp() -> Path:
    return Path(os.environ.get("DENZEL_OS_COMMANDS", "")) / "requirements.sh.json"


def _os_commands_due(force: bool = False) -> bool:
    """Tell whether requirements.sh is to be run in this container now."""
    if not os.environ.get("DENZEL_OS_COMMANDS") or not has_commands():
        return False
    return force or _read_stamp(_os_stamp()).get("installed") != fingerprint(OS_REQUIREMENTS)


def _pip_stamp() -> Path:
    return venv_directory() / "denzel-requirements.json"


def _read_stamp(path: Path) -> dict[str, Any]:
    try:
        stamp = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock; the kernel lets go of it when this process ends, however."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _create_venv() -> None:
    python = venv_directory() / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not python.exists() or not (venv_directory() / "lib" / version).exists():
        # What an older Python left here could not be used, or would be taken for installed.
        for leftover in ("bin", "include", "lib", "lib64"):
            _remove(venv_directory() / leftover)
        seed = Path(os.environ.get("DENZEL_VENV_SEED", ""))
        if (seed / "lib" / version).exists():
            _copy_seed(seed)
            return
        code, tail = _run_logged([sys.executable, "-m", "venv", str(venv_directory())])
        if code:
            raise PreparationFailed(f"no virtual environment could be made: {tail[-1]}")


def _copy_seed(seed: Path) -> None:
    """Copy the image's virtual environment; what shows that it is there, bin, comes last."""
    copy = venv_directory() / ".copy"
    _remove(copy)
    shutil.copytree(seed, copy, symlinks=True)
    for path in sorted(copy.iterdir(), key=lambda path: path.name == "bin"):
        _remove(venv_directory() / path.name)
        path.rename(venv_directory() / path.name)
    copy.rmdir()


def _pip_install(upgrade: bool) -> None:
    command = [str(venv_directory() / "bin" / "python"), "-m", "pip", "install"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--upgrade"] if upgrade else []
    command += ["-r", str(RUNTIME_REQUIREMENTS)]
    command += ["-r", str(USER_REQUIREMENTS)] if USER_REQUIREMENTS.exists() else []
    code, tail = _run_logged(command)
    if code:
        raise PreparationFailed(f"{explain_pip(tail)} (see {log_path()})")


PACKAGE_ADDRESS = re.compile(r"\s*\(from https?://.*\)$")
"""Where an older pip says it found the side of a conflict that it names."""


def explain_pip(output: list[str]) -> str:
    """Return one line that says why pip failed, both sides of a conflict named."""
    text = [line.strip() for line in output if line.strip()]
    conflicts = [i for i, line in enumerate(text) if line.startswith("The conflict is caused by")]
    if conflicts:
        sides = []
        for line in text[conflicts[-1] + 1 :]:
            if line.startswith(("To fix this", "Additionally", "ERROR", "hint")):
                break
            sides.append(PACKAGE_ADDRESS.sub("", line))
        return "requirements.txt conflicts with what denzel itself needs or with itself: " + (
            "; ".join(dict.fromkeys(sides))
        )
    # A package that cannot be built has pip end with a cross, and notes that say nothing.
    for mark in ("ERROR: ", "× "):
        errors = [line.removeprefix(mark) for line in text if line.startswith(mark)]
        if errors:
            return f"pip install failed: {errors[-1]}"
    return f"pip install failed: {(text or ['no output'])[-1]}"


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _run_logged(command: list[str], path: Path | None = None) -> tuple[int, list[str]]:
    """Run ``command``, copy its output to stdout and a log; return exit code and last lines."""
    path = path or log_path()
    path.parent.mkdir(exist_ok=True)
    tail: list[str] = []
    with path.open("w", encoding="utf-8") as log:
        _give_new_files_to_owner()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        )  # fmt: skip
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", flush=True)
            log.write(line)
            log.flush()
            tail = [*tail[-200:], line.rstrip()]
        code = child.wait()
    return code, tail or ["no output"]


def _stay_until_retry(service: str, reason: str) -> None:
    """Show ERROR for a while, then end, so that the supervisor starts another try."""
    print(f"{service}: {reason}", file=sys.stderr, flush=True)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    write_state(service, ERROR, reason)
    stopped.wait(RETRY_AFTER_SECONDS)


def main() -> int:
    """Prepare a service and become it; or, with ``--install``, only install."""
    parser = argparse.ArgumentParser(prog="python3 -m app.runtime.bootstrap")
    parser.add_argument("--install", choices=["pip", "os", "check"], action="append", default=[])
    parser.add_argument("--os-commands", action="store_true", help="run requirements.sh, too")
    parser.add_argument("--once", action="store_true", help="end at once when it fails")
    parser.add_argument("service")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    adopt_owner()
    if arguments.install:
        return _install_only(arguments.service, arguments.install)
    try:
        prepare(arguments.service, os_commands=arguments.os_commands)
    except (PreparationFailed, OSError) as error:  # OSError: no disk space, say
        if arguments.once:
            print(error, file=sys.stderr)
        else:
            _stay_until_retry(arguments.service, str(error))
        return 1
    become(arguments.program)
    return 1


def _install_only(service: str, wanted: list[str]) -> int:
    """Install what ``wanted`` names beside the running service, whose state is shown again then."""
    path = Path(load_settings().denzel_run_dir) / f"{service}.json"
    before = read_state(path) if path.exists() else None
    try:
        if "os" in wanted:
            run_os_commands(service, force=True)
        if "pip" in wanted:
            install_packages(service, upgrade=True)
        if "check" in wanted:
            install_packages(service, retry=True)
    except (PreparationFailed, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            write_state(service, *before)
    return 0
