"""The virtual environment that all services share ($DENZEL_VENV), and what is installed in it.

The first service to get its lock installs; the others wait, and find the work done.  A stamp holds
the fingerprint of what was installed, so nothing is installed twice; a failure leaves a stamp, too,
so that four services do not try four times what one could not.

What is installed while services run goes into another environment beside theirs
(``environments.py``).

The runtime's packages come first, from its own file alone.  The user's file is then resolved
together with them, already installed and pinned, so what it says of indexes or hashes applies to
its own packages only.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from app.runtime.bootstrap.commands import run_logged
from app.runtime.bootstrap.errors import PreparationFailed
from app.runtime.bootstrap.os_commands import commands_due
from app.runtime.bootstrap.paths import (
    PIP_LOG,
    RUNTIME_REQUIREMENTS,
    USER_REQUIREMENTS,
    venv_directory,
)
from app.runtime.bootstrap.pins import installed_versions, normalised, usable_lock, write_lock
from app.runtime.bootstrap.pip_output import explain_pip, unavailable_package
from app.runtime.bootstrap.requirement_files import (
    all_files,
    asks_for_anything,
    index_options,
    requirement_lines,
)
from app.runtime.bootstrap.stamps import fingerprint, locked, read_stamp, write_stamp
from app.runtime.bootstrap.wheel_tags import explain_pythons, other_pythons
from app.runtime.state import PIP_INSTALLING, write_state

RETRY_AFTER_SECONDS = 60.0
OTHER_SERVICES_SECONDS = 900.0


def is_installed() -> bool:
    """Tell whether the virtual environment holds what the requirement files ask for now."""
    stamp = read_stamp(stamp_file()).get("installed")
    return stamp == _fingerprint() and not _changing().exists() and _python().exists()


def may_be_in_use() -> bool:
    """Tell whether something was installed completely, with which services may run."""
    installed = "installed" in read_stamp(stamp_file())
    return installed and is_usable() and not _changing().exists()


def install_packages(service: str, *, upgrade: bool = False, retry: bool = False) -> None:
    """Install the runtime's, then the user's requirements, unless they are there.

    Where they do not fit together, nothing is changed.  ``upgrade`` installs even when nothing
    changed; ``retry`` ignores that the same requirements failed a moment ago.  Raises
    PreparationFailed.
    """
    if is_installed() and not upgrade:
        return
    write_state(service, PIP_INSTALLING)
    with locked(venv_directory()) as lock:
        if is_installed() and not upgrade:
            return
        stamp = read_stamp(stamp_file())
        recent = time.time() - stamp.get("failed_at", 0.0) < RETRY_AFTER_SECONDS
        if stamp.get("failed") == _fingerprint() and recent and not retry and not upgrade:
            raise PreparationFailed(stamp["reason"])
        try:
            _install(lock, upgrade)
        except PreparationFailed as error:
            failure = {
                **stamp, "failed": _fingerprint(), "failed_at": time.time(), "reason": str(error),
                "before_os_commands": commands_due(),
            }  # fmt: skip
            write_stamp(stamp_file(), failure)
            raise
        claim_installed()


def claim_installed() -> None:
    """Record that the environment holds what the requirement files ask for now."""
    write_stamp(stamp_file(), {"installed": _fingerprint()})


def wait_for_packages() -> None:
    """Wait until a service that runs requirements.sh has installed the packages, or failed to."""
    deadline = time.monotonic() + OTHER_SERVICES_SECONDS
    while not is_installed():
        stamp = read_stamp(stamp_file())
        final = stamp.get("failed") == _fingerprint() and not stamp.get("before_os_commands")
        if final or time.monotonic() > deadline:
            raise PreparationFailed(stamp.get("reason", "pip install failed"))
        time.sleep(1)


def _install(lock: int, upgrade: bool) -> None:
    """Make what is missing; what a killed installation left half done is made anew."""
    if _changing().exists() or not is_usable():
        _remove_environment()
    _changing().touch()
    if not is_usable():
        _create_venv(lock)
    versions = installed_versions(venv_directory())
    if upgrade or not _has_runtime(versions):
        _pip(lock, ["-r", str(RUNTIME_REQUIREMENTS)], upgrade=upgrade)
    if asks_for_anything(USER_REQUIREMENTS):
        _install_user_requirements(lock, upgrade)
        write_lock(venv_directory(), requirement_lines(RUNTIME_REQUIREMENTS))
    _changing().unlink()


def _install_user_requirements(lock: int, upgrade: bool) -> None:
    runtime = requirement_lines(RUNTIME_REQUIREMENTS)
    pins = None if upgrade else usable_lock()
    arguments = [*runtime, "-r", str(USER_REQUIREMENTS)]
    _pip(lock, arguments + (["-c", str(pins)] if pins else []), upgrade=upgrade, runtime=runtime)


def _pip(
    lock: int, arguments: Sequence[str], *, upgrade: bool, runtime: Sequence[str] = ()
) -> None:
    command = [str(_python()), "-P", "-m", "pip", "install"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--upgrade"] if upgrade else []
    code, tail = run_logged([*command, *arguments], PIP_LOG, inherited=lock)
    if code:
        # pip resolves, downloads and builds everything before it changes anything.
        if not any(line.startswith("Installing collected packages") for line in tail):
            _changing().unlink()
        reason = explain_pip(tail, runtime)
        if (package := unavailable_package(tail)) and (
            minors := other_pythons(_python(), package, index_options(USER_REQUIREMENTS))
        ):
            in_container = os.environ.get("DENZEL_BACKEND") == "docker"
            pythons = explain_pythons(package, minors, in_container=in_container)
            reason = f"{reason.rstrip('.')}; {pythons}"
        raise PreparationFailed(f"{reason} (see {PIP_LOG})")


def _has_runtime(versions: dict[str, str]) -> bool:
    """Tell whether each package of the runtime is there in its pinned version."""
    for line in requirement_lines(RUNTIME_REQUIREMENTS):
        name, _, version = line.partition("==")
        if versions.get(normalised(name.partition("[")[0].strip())) != version.strip():
            return False
    return True


def is_usable() -> bool:
    """Tell whether there is an environment of this Python, with pip."""
    packages = _library() / "site-packages"
    return _python().exists() and (packages / "pip" / "__init__.py").exists()


def _remove_environment() -> None:
    """Remove all of the environment but the stamps and the lock, which is held now."""
    kept = {".lock", _changing().name, stamp_file().name, "others"}
    for path in venv_directory().iterdir():
        if path.name not in kept:
            _remove(path)


def _create_venv(lock: int) -> None:
    seed = Path(os.environ.get("DENZEL_VENV_SEED", ""))
    if (seed / _library().relative_to(venv_directory())).exists():
        _copy_seed(seed)
        return
    command = [sys.executable, "-P", "-m", "venv", str(venv_directory())]
    code, tail = run_logged(command, PIP_LOG, inherited=lock)
    if code:
        raise PreparationFailed(f"no virtual environment could be made: {tail[-1]}")


def _copy_seed(seed: Path) -> None:
    """Copy the image's virtual environment into the volume."""
    for path in seed.iterdir():
        target = venv_directory() / path.name
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, target, symlinks=True)
        else:
            shutil.copy2(path, target, follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            path.unlink()


def _fingerprint() -> str:
    pins = usable_lock()
    files = [RUNTIME_REQUIREMENTS, *all_files(USER_REQUIREMENTS), *([pins] if pins else [])]
    return fingerprint(files)


def _python() -> Path:
    return venv_directory() / "bin" / "python"


def _library() -> Path:
    return venv_directory() / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"


def stamp_file(environment: Path | None = None) -> Path:
    """Return the file that says what is installed; by default that of the one used now."""
    return (environment or venv_directory()) / "denzel-requirements.json"


def _changing() -> Path:
    """Return the file that is there while the environment is being changed."""
    return venv_directory() / ".changing"
