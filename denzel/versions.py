"""Versions of a project: copies of what its services run, made when that changes.

Services run from such a copy, so that they see no file that is being edited, and can go back to an
earlier one.  They lie in ``.denzel/versions``, numbered; ``.denzel/version`` holds the number of
the one that serves.  A version never changes.  A file that did not change since the version before
is the same file on the disk; one that did is copied, where the file system allows without taking
space.

Python code and requirements are copied: ``app``, other packages, and single files of code or text.
The rest of the project's directory is linked.
"""

from __future__ import annotations

import json
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from denzel.errors import ProjectError
from denzel.project import Project
from denzel.settings import SETTINGS
from denzel.templates.project.app.runtime.bootstrap.requirement_files import all_files
from denzel.templates.project.app.runtime.bootstrap.version import (
    POINTER,
    VERSIONS,
    served_version,
    version_directory,
)
from denzel.version_files import (
    LEFT_OUT_OF_CODE,
    adopt,
    copy_entry,
    is_package,
    is_same,
    visible_names,
    write_file,
)

CODE = ("app",)
COPIED_SUFFIXES = (".py", ".txt", ".sh", ".lock", ".toml", ".cfg", ".in")
LEFT_OUT = (".denzel", ".denzel.json", ".git")
LOGS = "logs"
AT_LAUNCH = (
    "PROJECT_NAME", "API_HOST", "API_PORT", "MONITOR_HOST", "MONITOR_PORT", "HTTPS_DOMAIN",
    "HTTPS_CERTIFICATES", "HTTPS_PORT", "HTTP_PORT", "REDIS_MAX_MEMORY", "REDIS_FSYNC",
    "REDIS_URL", "REDIS_PASSWORD", "REDIS_CA", "REDIS_CERTIFICATE", "REDIS_KEY",
    "REDIS_SENTINEL_PASSWORD", "BASE_IMAGE", "REDIS_IMAGE", "CADDY_IMAGE", "IMAGE",
    "RELEASE_IMAGE", "API_REPLICAS", "WORKER_REPLICAS", "API_REPLICA_PORT",
    "API_REPLICA_HOST", "COMPOSE_PROFILES",
)  # fmt: skip
"""Settings that belong to a deployment and not to a version."""


@dataclass(frozen=True)
class Version:
    """One version; ``worked`` is whether its services were seen ready.

    ``made`` is in seconds since 1970; ``same_as`` is the number of the version it has the files
    of, 0 when it was made from the project's own.
    """

    number: int
    made: float
    by: str
    worked: bool = False
    same_as: int = 0
    settings: dict[str, str] = field(default_factory=dict)


class Versions:
    """The versions of one project; the caller holds the project's lock where something changes."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._root = project.root / VERSIONS

    @property
    def served(self) -> int:
        """The number of the version that serves; 0 when services run from the project itself."""
        return served_version(self._project.root)

    def all(self) -> list[Version]:
        """Return every version, the oldest first."""
        return sorted(self._read(), key=lambda version: version.number)

    def of_project(self, by: str) -> Version:
        """Return the version with the project's files and settings of now; make it if need be.

        ``by`` is the command that asks.
        """
        newest = self._newest_of_project()
        if newest and self._has_files(newest.number):
            alike = [each for each in self.all() if newest.number in (each.number, each.same_as)]
            fitting = [each for each in alike if each.settings == self._settings()]
            return fitting[-1] if fitting else self.copy(newest.number, by)
        return self._make(self._project.root, by, same_as=0)

    def to_start(self, by: str) -> Version:
        """Return the version to start services with.

        That is the one that serves, unless the project was edited since a version was last made of
        it: what was gone back from does not come again by itself.
        """
        newest = self._newest_of_project()
        if not self.served or newest is None or not self._has_files(newest.number):
            return self.of_project(by)
        return self.as_served(by)

    def as_served(self, by: str) -> Version:
        """Return a version with the files of the one that serves and the settings of now."""
        served = self.find(self.served)
        return served if served.settings == self._settings() else self.copy(served.number, by)

    @property
    def is_gone_back(self) -> bool:
        """Whether an earlier version serves than the last that was made of the project's files."""
        newest, served = self._newest_of_project(), self.served
        if newest is None or not served:
            return False
        return (self.find(served).same_as or served) < newest.number

    def keep_edits(self) -> None:
        """Make a version of the project's files, if there is none: it is gone back from, too."""
        newest = self._newest_of_project()
        if newest is None or not self._has_files(newest.number):
            self._make(self._project.root, "edit", same_as=0)

    def before(self, number: int) -> Version | None:
        """Return the last version that worked before another one."""
        until = self.find(number).same_as or number
        earlier = [
            each for each in self.all() if each.number < until and each.worked and not each.same_as
        ]
        return earlier[-1] if earlier else None

    def to_update(self, by: str) -> Version:
        """Return a new version for which other packages can be installed."""
        version = self.to_start(by)
        if version.number != self.served:
            return version
        return self._make(version_directory(self._project.root, version.number), by, same_as=0)

    def copy(self, number: int, by: str) -> Version:
        """Return a new version with the files of another one and the settings of now."""
        same_as = self.find(number).same_as or number
        return self._make(version_directory(self._project.root, number), by, same_as)

    @property
    def is_switching(self) -> bool:
        """Whether some services may run another version than the one that serves."""
        return self._switching.exists()

    def begin_switch(self) -> None:
        """Note that services are changing their version; that holds until :meth:`end_switch`."""
        self._switching.touch()

    def end_switch(self) -> None:
        """Note that all services run the version that serves, or none runs."""
        self._switching.unlink(missing_ok=True)

    @property
    def _switching(self) -> Path:
        return self._root / "switching"

    def serve(self, number: int) -> None:
        """Have services run a version from their next start on; it begins a switch."""
        private = self._project.private
        mode = stat.S_IMODE(private.stat().st_mode)
        if self._project.backend != "local" and not mode & stat.S_IXOTH:
            private.chmod(mode | 0o711)  # containers' services may run as someone else
        self.begin_switch()
        write_file(self._project.root / POINTER, f"{number}\n", 0o644)
        adopt(self._project.root, self._project.root / POINTER)
        self._remove_old()

    def mark_worked(self) -> None:
        """Note that the services of the version that serves were ready."""
        for version in self.all():
            if version.number == self.served and not version.worked:
                self._write(replace(version, worked=True))

    def drop(self, number: int) -> None:
        """Remove a version, unless it serves."""
        if number and number != self.served:
            # What has no such file is no version, should this be cut short.
            (self._root / f"{number}.json").unlink(missing_ok=True)
            shutil.rmtree(self._root / str(number), ignore_errors=True)

    def drop_all(self) -> None:
        """Remove every version."""
        (self._project.root / POINTER).unlink(missing_ok=True)
        shutil.rmtree(self._root, ignore_errors=True)

    def size(self) -> int:
        """Return how many bytes all versions take on the disk, at most."""
        files = {}
        for path in self._root.rglob("*"):
            with suppress(OSError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    files[status.st_ino] = status.st_blocks * 512
        return sum(files.values())

    # -- making one ----------------------------------------------------------------------

    def _make(self, source: Path, by: str, same_as: int) -> Version:
        number = max([self.served, *(version.number for version in self._read())]) + 1
        version = Version(number, time.time(), by, same_as=same_as, settings=self._settings())
        temporary = self._root / f".{number}.new"
        latest = self._newest_directory()
        try:
            self._create_root()
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            adopt(source, temporary)
            for path in sorted(source.iterdir()):
                self._add(path, temporary, latest)
            if not (temporary / LOGS).is_symlink():
                (temporary / LOGS).symlink_to(self._link_to(LOGS))
            shutil.rmtree(self._root / str(number), ignore_errors=True)  # half dropped
            self._write(version)
            temporary.rename(self._root / str(number))
        except OSError as error:
            reason = f"{error.filename or ''}: {error.strerror or error}".removeprefix(": ")
            raise ProjectError(
                f"A version of the project cannot be written to {self._root}: {reason}; it takes "
                "as much space as what changed in app/"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return version

    def _add(self, path: Path, directory: Path, latest: Path | None) -> None:
        """Copy or link one entry of the project's directory."""
        target = directory / path.name
        if path.name in {*LEFT_OUT, *LEFT_OUT_OF_CODE}:
            return
        if path.is_symlink() and path.readlink() == self._link_to(path.name):
            target.symlink_to(path.readlink())  # of a version that is copied
        elif self._is_copied(path):
            copy_entry(path, target, latest and latest / path.name, self._project.root)
        else:
            target.symlink_to(self._link_to(path.name))

    def _link_to(self, name: str) -> Path:
        return Path(*[".."] * 3, name)

    def _is_copied(self, path: Path) -> bool:
        if path.is_dir():
            named = {*CODE, *self._directories_of_requirements()}
            return path.name in named or is_package(path)
        return path.suffix in COPIED_SUFFIXES

    def _directories_of_requirements(self) -> set[str]:
        """Return the directories that requirements.txt names files in."""
        root = self._project.root
        named = [path for path in all_files(root / "requirements.txt") if path.is_relative_to(root)]
        parts = [path.relative_to(root).parts for path in named]
        return {names[0] for names in parts if len(names) > 1}

    def _has_files(self, number: int) -> bool:
        """Tell whether a version has the project's files as they are now."""
        root, copy = self._project.root, self._root / str(number)
        names = visible_names(root) | {LOGS}
        if names != visible_names(copy):
            return False
        return all(
            is_same(root / name, copy / name) if self._is_copied(root / name)
            else (copy / name).is_symlink()
            for name in names
        )  # fmt: skip

    def _settings(self) -> dict[str, str]:
        """Return what services are told anew: every setting, and what else ``.env`` has."""
        given = self._project.environment
        known = {setting.name: setting.default for setting in SETTINGS}
        values = {
            **known,
            **{name: text for name, text in given.items() if text or name not in known},
        }
        return {name: text for name, text in values.items() if name not in AT_LAUNCH}

    # -- what is there -------------------------------------------------------------------

    def find(self, number: int) -> Version:
        """Return a version; raises ProjectError when there is none of that number."""
        for version in self._read():
            if version.number == number:
                return version
        raise ProjectError(f"There is no version {number}; `denzel versions` lists them")

    def _read(self) -> Iterator[Version]:
        for path in self._root.glob("[0-9]*.json"):
            if not path.with_suffix("").is_dir():
                continue
            with suppress(OSError, ValueError, TypeError):
                yield Version(**json.loads(path.read_text(encoding="utf-8")))

    def _newest_of_project(self) -> Version | None:
        made = [version for version in self.all() if not version.same_as]
        return made[-1] if made else None

    def _newest_directory(self) -> Path | None:
        versions = self.all()
        return self._root / str(versions[-1].number) if versions else None

    def _write(self, version: Version) -> None:
        path = self._root / f"{version.number}.json"
        write_file(path, json.dumps(asdict(version)), 0o600)
        adopt(self._project.root, path)

    def _create_root(self) -> None:
        """Make the directories."""
        private = self._project.private
        private.mkdir(mode=0o700, exist_ok=True)
        self._root.mkdir(exist_ok=True)
        for directory in (private, self._root):
            adopt(self._project.root, directory)

    def _remove_old(self) -> None:
        """Remove versions beyond VERSIONS_KEPT, but for those that serve or can be gone back to."""
        served = self.served
        back = self.before(served) if served else None
        spared = {served, back.number if back else 0}
        numbers = [version.number for version in self.all()]
        for number in numbers[: -self._project.settings.versions_kept]:
            if number not in spared:
                self.drop(number)
