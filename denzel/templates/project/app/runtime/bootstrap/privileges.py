"""From root to the user who serves ($DENZEL_USER, which only the image sets).

Root trusts nothing that this user can write: that is ``logs``, ``$DENZEL_RUN_DIR`` and the user's
home directory.  There, root follows no link and opens no file that may be something else.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from app.runtime.bootstrap.errors import PreparationFailed
from app.runtime.bootstrap.paths import LOGS, USER_REQUIREMENTS, WORKER_LOG
from app.runtime.settings import run_directory

CODE = (Path("app"), Path("entrypoints"))


def serving_user() -> str:
    """Return the name of the user to become; empty when this process stays who it is."""
    return os.environ.get("DENZEL_USER", "") if os.getuid() == 0 else ""


def adopt_owner() -> None:
    """Give the serving user the ids of the project directory's owner, so that files are theirs.

    A directory of root's is served by the image's own user instead, as a member of the
    directory's group: nothing serves as root.
    """
    user = serving_user()
    if not user:
        return
    owner, account = Path.cwd().stat(), pwd.getpwnam(user)
    if owner.st_uid == 0:
        if not owner.st_mode & stat.S_IROTH:
            _join_group(user, owner.st_gid)
        return
    if owner.st_uid == account.pw_uid:
        return
    group = owner.st_gid or account.pw_gid
    for command in (
        ["groupmod", "--non-unique", "--gid", str(group), user],
        ["usermod", "--non-unique", "--uid", str(owner.st_uid), "--gid", str(group), user],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def drop_privileges() -> None:
    """Become the serving user; raises PreparationFailed when they cannot read the project."""
    user = serving_user()
    if not user:
        return
    account = pwd.getpwnam(user)
    _let_write(account)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ.update(HOME=account.pw_dir, USER=user, LOGNAME=user)
    if hidden := unreadable_file():
        raise PreparationFailed(
            f"{hidden} cannot be read by the user who serves (user id {account.pw_uid}), since "
            "root owns the project: run `chmod -R o+rX .` in it, or give it to an ordinary user "
            "(`chown -R`), then `denzel restart`"
        )


def unreadable_file() -> Path | None:
    """Return the first file of the project's code that this process cannot read."""
    if not os.access(Path.cwd(), os.R_OK | os.X_OK):
        return Path.cwd()
    found = [USER_REQUIREMENTS, *CODE, *(path for part in CODE for path in part.rglob("*"))]
    for path in found:
        needed = os.R_OK | os.X_OK if path.is_dir() else os.R_OK
        if path.exists() and not os.access(path, needed):
            return path
    return None


def give_to_owner(descriptor: int) -> None:
    """Give an open file that root made to the project directory's owner."""
    owner = Path.cwd().stat()
    if serving_user() and owner.st_uid != 0:
        # A mount of some desktop engines knows no owners.
        with suppress(OSError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


def give_new_files_to_owner(project: Path) -> None:
    """Give what root wrote into the project directory to the directory's owner."""
    owner = project.stat()
    if not serving_user() or owner.st_uid == 0:
        return
    # Every name is looked up in an open directory, so that no link can lead elsewhere.
    for _, directories, files, descriptor in os.fwalk(project, follow_symlinks=False):
        for name in (*directories, *files):
            with suppress(OSError):
                if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid == 0:
                    os.chown(
                        name, owner.st_uid, owner.st_gid, dir_fd=descriptor, follow_symlinks=False
                    )


def _join_group(user: str, group: int) -> None:
    """Make a user a member of a group, by its number."""
    try:
        grp.getgrgid(group)
    except KeyError:
        subprocess.run(["groupadd", "--gid", str(group), f"{user}-project"], check=True)
    subprocess.run(["usermod", "--append", "--groups", str(group), user], check=True)


def _let_write(account: pwd.struct_passwd) -> None:
    """Let the user who serves write states and log files, and nothing else."""
    # The files in it are replaced, not written to, so they may stay root's.
    os.chown(run_directory(), account.pw_uid, account.pw_gid)
    LOGS.mkdir(exist_ok=True)
    # In a version's directory it is a link to the project's.
    _let_group_write(LOGS.resolve(), os.O_DIRECTORY, account.pw_gid)
    if os.path.lexists(WORKER_LOG):
        if not stat.S_ISREG(WORKER_LOG.lstat().st_mode):
            with suppress(OSError):
                WORKER_LOG.unlink()  # a link or a pipe would keep the worker from starting
        _let_group_write(WORKER_LOG, os.O_NONBLOCK, account.pw_gid)


def _let_group_write(path: Path, flags: int, group: int) -> None:
    """Let a group write a directory, or an ordinary file that has no other name."""
    # A mount of some desktop engines knows no owners; there, anyone may write.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | flags)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                return
            os.fchown(descriptor, Path.cwd().stat().st_uid, group)
            os.fchmod(descriptor, found.st_mode | (0o070 if flags & os.O_DIRECTORY else 0o060))
        finally:
            os.close(descriptor)
