"""Which of the virtual environments serves a version, and how another one is made beside it.

Services that run need their packages as they are: what is required anew while they run is
installed into a copy of their environment.  The copies lie in the first environment,
``$DENZEL_VENV/others/N``.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from app.runtime.bootstrap.environment import (
    install_packages,
    is_installed,
    may_be_in_use,
    stamp_file,
)
from app.runtime.bootstrap.paths import ENVIRONMENT_VARIABLE, first_venv
from app.runtime.bootstrap.stamps import locked
from app.runtime.bootstrap.version import PROJECT_VARIABLE, served_version, version_directory

OTHERS = "others"
KEPT = 3
"""How many environments are kept besides the first: those that were used last."""
NOT_COPIED = (".lock", ".changing", "denzel-requirements.json", OTHERS, "__pycache__")


def choose_environment() -> None:
    """Use the environment that holds what this version requires; the first, if none does."""
    found = _find_installed()
    _use(found or first_venv())
    if found:
        with suppress(OSError):  # the user who serves may not change it
            os.utime(stamp_file())


def install_beside(service: str, *, upgrade: bool = False) -> None:
    """Install what this version requires where no running service notices, and use that.

    ``upgrade`` installs even what is there.  Raises PreparationFailed, and then nothing is left of
    it.
    """
    choose_environment()
    if is_installed() and not upgrade:
        return
    copied = next((path for path in _environments(latest=True) if _may_be_in_use(path)), None)
    if copied is None:  # then nobody uses the first one
        install_packages(service, upgrade=upgrade, retry=True)
        return
    with locked(first_venv() / OTHERS):
        made = first_venv() / OTHERS / str(_next_number())
        try:
            copy_environment(copied, made)
            _use(made)
            install_packages(service, upgrade=upgrade)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            _use(first_venv())
            raise
        _remove_old(made)


def copy_environment(source: Path, target: Path) -> None:
    """Copy a virtual environment; the files are the same ones, as far as the file system allows.

    That is safe, since pip replaces files and never writes into one.
    """
    target.mkdir()
    (target / ".changing").touch()  # until this is done, it is half of one
    for path in source.iterdir():
        if path.name in NOT_COPIED:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, target / path.name, symlinks=True, copy_function=_link)
        else:
            shutil.copy2(path, target / path.name, follow_symlinks=False)
    _rename_in_programs(target / "bin", source, target)
    (target / ".changing").unlink()


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _rename_in_programs(directory: Path, source: Path, target: Path) -> None:
    """Have the programs of an environment name their own Python, not that of the one copied."""
    for path in directory.iterdir():
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        named = content.replace(os.fsencode(source), os.fsencode(target))
        if named != content and b"\0" not in content:
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_bytes(named)
            shutil.copymode(path, temporary)
            temporary.replace(path)


def _find_installed() -> Path | None:
    """Return the environment that holds what the current directory's version requires."""
    for path in _environments():
        _use(path)
        if is_installed():
            return path
    return None


def _find_served() -> Path | None:
    """Return the environment that services use now, if they use one that is installed."""
    project = Path(os.environ[PROJECT_VARIABLE])
    here = Path.cwd()
    os.chdir(version_directory(project, served_version(project)))
    try:
        return _find_installed()
    finally:
        os.chdir(here)


def _environments(*, latest: bool = False) -> list[Path]:
    """Return the environments there are, the first one first; or those used last first."""
    others = [path for path in (first_venv() / OTHERS).glob("[0-9]*") if path.is_dir()]
    found = [first_venv(), *sorted(others, key=lambda path: int(path.name))]
    return sorted(found, key=_last_used, reverse=True) if latest else found


def _last_used(path: Path) -> float:
    try:
        return stamp_file(path).stat().st_mtime
    except OSError:
        return 0.0


def _may_be_in_use(path: Path) -> bool:
    before = os.environ.get(ENVIRONMENT_VARIABLE, "")
    _use(path)
    try:
        return may_be_in_use()
    finally:
        os.environ[ENVIRONMENT_VARIABLE] = before


def _next_number() -> int:
    return max((int(path.name) for path in _environments()[1:]), default=0) + 1


def _remove_old(made: Path) -> None:
    """Remove what was not used lately; never what services use, nor what they are about to."""
    spared = {made, first_venv(), _find_served()}
    _use(made)
    others = [path for path in _environments(latest=True) if path not in spared]
    for path in others[KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def _use(path: Path) -> None:
    os.environ[ENVIRONMENT_VARIABLE] = str(path)
