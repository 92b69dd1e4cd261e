"""The files of a version: copied from the project's, and compared with them."""

from __future__ import annotations

import fcntl
import filecmp
import os
import shutil
from contextlib import suppress
from pathlib import Path

LEFT_OUT_OF_CODE = ("__pycache__",)
FICLONE = 0x40049409
"""The ioctl that gives a file the blocks of another one (ioctl_ficlonerange(2))."""


def is_package(directory: Path) -> bool:
    """Tell whether a directory is a Python package."""
    with suppress(OSError):  # somebody else's, such as the data of a database
        return (directory / "__init__.py").exists()
    return False


def visible_names(directory: Path) -> set[str]:
    """Return the names in a directory, but for hidden ones and what Python makes."""
    names = {path.name for path in directory.iterdir()}
    return {name for name in names if not name.startswith(".")} - {*LEFT_OUT_OF_CODE}


def copy_entry(source: Path, target: Path, earlier: Path | None, root: Path) -> None:
    """Copy a file or a directory; what is unchanged since ``earlier`` becomes the same file.

    A relative link that leads out of ``root``, the project's directory, becomes an absolute one.
    """
    if source.is_symlink():
        pointed = source.readlink()
        outside = not Path(os.path.normpath(source.parent / pointed)).is_relative_to(root)
        target.symlink_to(source.parent.resolve() / pointed if outside else pointed)
    elif source.is_dir():
        target.mkdir()
        shutil.copymode(source, target)
        for path in source.iterdir():
            if path.name not in LEFT_OUT_OF_CODE and path.suffix != ".pyc":
                copy_entry(path, target / path.name, earlier and earlier / path.name, root)
    elif source.is_file() and not (
        earlier and is_same(source, earlier) and _linked(earlier, target)
    ):
        _copy_file(source, target)
        shutil.copystat(source, target)
    adopt(source, target)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file's content; where the file system can, without taking space for it."""
    with source.open("rb") as given, target.open("xb") as made:
        with suppress(OSError):
            fcntl.ioctl(made.fileno(), FICLONE, given.fileno())
            return
        shutil.copyfileobj(given, made, 2**20)


def _linked(earlier: Path, target: Path) -> bool:
    try:
        os.link(earlier, target)
    except OSError:  # some file systems have no second names
        return False
    return True


def is_same(first: Path, second: Path) -> bool:
    """Tell whether two files or directories have the same content, and may be used alike."""
    if first.is_symlink() or second.is_symlink():
        return (
            first.is_symlink()
            and second.is_symlink()
            and (first.readlink() == second.readlink() or first.resolve() == second.resolve())
        )
    if first.is_dir():
        names = {path.name for path in first.iterdir() if path.suffix != ".pyc"} - {
            *LEFT_OUT_OF_CODE
        }
        return (
            second.is_dir()
            and names == {path.name for path in second.iterdir()} - {*LEFT_OUT_OF_CODE}
            and all(is_same(first / name, second / name) for name in names)
        )
    if not (first.is_file() and second.is_file()) or first.stat().st_mode != second.stat().st_mode:
        return False
    return filecmp.cmp(first, second, shallow=False)


def adopt(source: Path, target: Path) -> None:
    """Give what root makes to the owner of what it was made from."""
    if os.geteuid() == 0:
        status = source.lstat()
        with suppress(OSError):
            os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)


def write_file(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
