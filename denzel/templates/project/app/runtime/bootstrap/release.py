"""What `denzel build` does inside the image that it builds: the steps that the Dockerfile runs.

``python -m app.runtime.bootstrap.release STEP``, as root, in the project's directory.  ``project``
looks at the files that came with the build; ``packages`` installs what they require; ``system``
runs requirements.sh.  Every file gets the same time, so that the same input makes the same layers,
also after the next commit.  A failure ends in a line that begins with ``REASON``.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from py_compile import PycInvalidationMode

from app.runtime.bootstrap.environment import stamp_file
from app.runtime.bootstrap.environments import OTHERS, install_beside
from app.runtime.bootstrap.errors import REASON, PreparationFailed
from app.runtime.bootstrap.os_commands import commands_due, run_os_commands
from app.runtime.bootstrap.paths import (
    LOCK_FILE,
    OS_REQUIREMENTS,
    RUNTIME_REQUIREMENTS,
    USER_REQUIREMENTS,
    venv_directory,
)
from app.runtime.bootstrap.requirement_files import all_files

TREE = Path("/opt/denzel/tree")
"""What a step leaves for the image, under the paths it has there."""
REQUIRED = Path("/opt/denzel/required")
"""What the next step installs from: as long as it is the same, Docker has the result already."""
PRIVATE = (".env", ".env.*", ".git", ".denzel", "logs")
"""What belongs to a deployment, or is secret, and must not be in an image."""
MOMENT = 315_532_800
"""The time of every file: 1980-01-01, the first that a ZIP archive can hold."""
USER = "denzel"
USER_ID = 10001
TOOLS = ("wget", "git", "curl")
COMPILERS = ("build-essential", "python3-dev")
APT_INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends")
LEFT_BY_APT = (
    "/var/lib/apt/lists/*", "/var/cache/apt/*", "/var/cache/debconf/*-old", "/var/lib/dpkg/*-old",
    "/var/log/apt", "/var/log/*.log", "/var/cache/ldconfig/aux-cache", "/root/.cache", "/tmp/*",
)  # fmt: skip


def prepare_project() -> None:
    """Refuse what must not be in an image; leave the project, compiled, and the image's user."""
    here = Path.cwd()
    if found := sorted({path.name for name in PRIVATE for path in here.glob(name)}):
        raise PreparationFailed(
            f"{', '.join(found)} would be in the image: .dockerignore must leave out "
            f"{', '.join(PRIVATE)}"
        )
    _collect_required(here)
    target = TREE / here.relative_to("/")
    shutil.copytree(here, target, symlinks=True)
    (target / LOCK_FILE).unlink(missing_ok=True)  # of what will have been installed
    _compile(target, here, PycInvalidationMode.CHECKED_HASH)
    for path in _all_below(target):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    _write_accounts(Path("/etc"), TREE / "etc")
    (TREE / "run" / "denzel").mkdir(parents=True)
    (TREE / "run" / "denzel").chmod(0o1777)
    _set_times(_all_below(TREE))


def install_packages() -> None:
    """Install the requirements, and leave a virtual environment without pip.

    Where that fails, it is tried again with compilers and what requirements.sh brings.
    """
    try:
        install_beside("image")
    except PreparationFailed as error:
        print(f"{error}; trying again with compilers", flush=True)
        _run("apt-get", "update")
        _run(*APT_INSTALL, *COMPILERS)
        run_os_commands("image")
        install_beside("image")
    venv = venv_directory()
    _run(str(venv / "bin" / "python"), "-P", "-m", "pip", "uninstall", "--yes", "--quiet", "pip")
    for name in (".lock", OTHERS, stamp_file().name):
        _remove(venv / name)
    _compile(venv, venv, PycInvalidationMode.UNCHECKED_HASH)
    target = TREE / venv.relative_to("/")
    target.parent.mkdir(parents=True)
    venv.rename(target)
    python = venv.with_name("python")
    (target.parent / python.name).symlink_to(python.readlink())
    if LOCK_FILE.exists():
        lock = TREE / LOCK_FILE.absolute().relative_to("/")
        lock.parent.mkdir(parents=True)
        shutil.copy(LOCK_FILE, lock)
    _set_times(_all_below(TREE))


def prepare_system() -> None:
    """Run requirements.sh; the tools it may use are removed afterwards, as are apt's files."""
    if not commands_due():
        return
    began = time.time_ns()
    has_tools = _install_tools()
    run_os_commands("image")
    if has_tools:
        _run("apt-get", "autoremove", "--purge", "--yes")
    for pattern in LEFT_BY_APT:
        for path in Path("/").glob(pattern[1:]):
            _remove(path)
    _set_times(_changed_since(began))


def _install_tools() -> bool:
    """Install what requirements.sh may use and the base image lacks; tell whether that was done."""
    missing = [name for name in TOOLS if not shutil.which(name)]
    if not missing:
        return False
    try:
        _run("apt-get", "update")
        unneeded = _output("apt-get", "--simulate", "autoremove").splitlines()
        own = [line.split()[1] for line in unneeded if line.startswith("Remv ")]
        _run(*APT_INSTALL, "ca-certificates", *missing)
        # What the script itself asks for is marked as wanted again, and so stays.
        _run("apt-mark", "auto", *missing)
        if own:  # the base image's
            _run("apt-mark", "manual", *own)
    except (PreparationFailed, OSError) as error:
        print(f"{error}: requirements.sh does without {', '.join(missing)}", flush=True)
        return False
    return True


STEPS = {"project": prepare_project, "packages": install_packages, "system": prepare_system}


def main(step: str) -> int:
    """Run one step; print why it failed."""
    try:
        STEPS[step]()
    except (PreparationFailed, OSError) as error:
        print(f"{REASON}{error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _collect_required(project: Path) -> None:
    """Copy what the packages are installed from."""
    runtime = RUNTIME_REQUIREMENTS.parent.parent
    user = [path for path in all_files(USER_REQUIREMENTS) if not path.is_absolute()]
    for path in [*user, LOCK_FILE, OS_REQUIREMENTS]:
        if path.is_file():
            target = REQUIRED / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(project / path, target)
    for name in ("__init__.py", "runtime"):
        source, target = project / runtime / name, REQUIRED / runtime / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


def _compile(directory: Path, place: Path, mode: PycInvalidationMode) -> None:
    """Compile all Python below a directory for the ``place`` it will have.

    Files that cannot be compiled are left as they are.
    """
    compileall.compile_dir(
        directory, quiet=2, force=True, invalidation_mode=mode,
        stripdir=str(directory), prependdir=str(place),
    )  # fmt: skip


def _write_accounts(etc: Path, target: Path) -> None:
    """Give the user who serves a name, which some libraries ask for."""
    target.mkdir(parents=True)
    lines = {
        "passwd": f"{USER}:x:{USER_ID}:{USER_ID}::/tmp:/bin/sh\n",
        "group": f"{USER}:x:{USER_ID}:\n",
    }
    for name, line in lines.items():
        text = (etc / name).read_text(encoding="utf-8")
        if f":x:{USER_ID}:" not in text:
            text += line
        (target / name).write_text(text, encoding="utf-8")


def _all_below(directory: Path) -> Iterator[Path]:
    """Yield what a directory holds, what lies in a directory before it, itself last."""
    for parent, directories, files in os.walk(directory, topdown=False):
        for name in (*files, *directories):
            yield Path(parent) / name
    yield directory


def _changed_since(began: int) -> Iterator[Path]:
    """Yield what changed on the image's own file system since a time in nanoseconds."""
    device = Path("/").stat().st_dev
    for parent, directories, files in os.walk("/"):
        here = Path(parent)
        directories[:] = [name for name in directories if (here / name).lstat().st_dev == device]
        for path in (*(here / name for name in files), here):
            found = path.lstat()
            if found.st_dev == device and found.st_mtime_ns >= began:
                yield path


def _set_times(paths: Iterable[Path]) -> None:
    for path in list(paths):
        os.utime(path, (MOMENT, MOMENT), follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _run(*command: str) -> None:
    _output(*command, shown=True)


def _output(*command: str, shown: bool = False) -> str:
    """Run a program and return what it printed, unless that is shown."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, text=True, stdin=subprocess.DEVNULL,
        stdout=None if shown else subprocess.PIPE,
    )  # fmt: skip
    if done.returncode:
        raise PreparationFailed(f"{_shown(command)} ended with exit code {done.returncode}")
    return done.stdout or ""


def _shown(command: Sequence[str]) -> str:
    return f"`{' '.join(command)}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
