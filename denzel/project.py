"""A denzel project on disk: where it is, what its ``.env`` says, what denzel recorded in it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import dotenv
from dotenv.parser import Binding, parse_stream

from denzel.errors import DenzelError, ProjectError, UsageError
from denzel.polling import polls
from denzel.templates.project.app.runtime.settings import (
    INTERNAL,
    SETTINGS,
    SettingError,
    Settings,
    parse_settings,
)

MANIFEST_NAME = ".denzel.json"
NEARLY_THE_SAME = 0.8
"""How alike (difflib's ratio) a name is to a setting's that was probably meant."""
LOCK_SECONDS = 2.0
LOCK_POLL_SECONDS = 0.1
OUTSIDE_PROJECT = "You must be inside project's directory to call this command"


@dataclass(frozen=True)
class Manifest:
    """What denzel keeps in ``.denzel.json``.

    ``files`` maps the path of each file denzel owns to the SHA-256 of what it wrote there;
    ``backend`` is the one chosen at launch, None when the project is not launched.
    """

    version: str
    files: dict[str, str] = field(default_factory=dict)
    backend: str | None = None


class Project:
    """A project found on disk.

    A ``lenient`` one passes over what cannot be used in ``.env``: for what must work all the same.
    """

    def __init__(self, root: Path, *, lenient: bool = False) -> None:
        self.root = root
        self.lenient = lenient

    @property
    def env_file(self) -> Path:
        """The file that holds everything that varies between projects."""
        return self.root / ".env"

    @property
    def logs(self) -> Path:
        """Where services write their log files."""
        return self.root / "logs"

    @property
    def private(self) -> Path:
        """denzel's own directory in the project: virtual environment, run files, Redis data."""
        return self.root / ".denzel"

    @cached_property
    def environment(self) -> dict[str, str]:
        """What ``.env`` sets, unparsed; empty when the file is missing."""
        try:
            with self.env_file.open(encoding="utf-8") as file:
                lines = list(parse_stream(file))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            if self.lenient:
                return {}
            raise ProjectError(f"{self.env_file} cannot be read: {error}") from error
        values = {}
        for line in lines:
            flaw = _flaw(line)
            if flaw and not self.lenient:
                raise UsageError(f"In {self.env_file}: {flaw}")
            if line.key and line.value is not None and not flaw:
                values[line.key] = line.value
        return values

    @cached_property
    def settings(self) -> Settings:
        """The settings, parsed; a missing one has its default.

        Without PROJECT_NAME in ``.env`` the directory's name is used, as Compose does.
        """
        values = self.environment
        if self.lenient:
            values = {name: text for name, text in values.items() if _usable(name, text)}
        try:
            return parse_settings({"PROJECT_NAME": self.root.name, **values})
        except SettingError as error:
            raise UsageError(f"In {self.env_file}: {error}") from error

    @property
    def flaw(self) -> str:
        """What a lenient project passes over in ``.env``; empty when there is nothing."""
        if self.lenient:
            try:
                _ = Project(self.root).settings
            except DenzelError as error:
                return str(error)
        return ""

    @property
    def misspelled(self) -> dict[str, str]:
        """Names in ``.env`` that are no settings but nearly so, each with the setting's name."""
        known = [setting.name for setting in SETTINGS + INTERNAL]
        nearest = {
            name: get_close_matches(name.upper(), known, n=1, cutoff=NEARLY_THE_SAME)
            for name in self.environment
            if name not in known
        }
        return {name: found[0] for name, found in nearest.items() if found}

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self.settings.project_name

    @property
    def manifest(self) -> Manifest:
        """What denzel recorded in the project."""
        path = self.root / MANIFEST_NAME
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return Manifest(**data)
        except (OSError, ValueError, TypeError) as error:
            raise ProjectError(
                f"{path} cannot be read ({error}); restore it, or start a project anew and copy "
                "your files into it"
            ) from error

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace ``.denzel.json`` in one step."""
        path = self.root / MANIFEST_NAME
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)

    def record_backend(self, backend: str | None) -> None:
        """Remember which backend runs the services; None: the project is not launched."""
        # A shutdown must succeed on a full disk, too, so nothing is written without need.
        if self.manifest.backend != backend:
            self.write_manifest(replace(self.manifest, backend=backend))

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other denzel commands from changing this project's deployment at the same time.

        The lock is on the directory, so that it leaves nothing behind whatever ends this process.
        Raises ProjectError when another command holds it for LOCK_SECONDS.
        """
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not any(_locked(descriptor) for _ in polls(LOCK_POLL_SECONDS, timeout=LOCK_SECONDS)):
                raise ProjectError(
                    "Another denzel command is launching, stopping or changing this project; try "
                    "again when it is done"
                )
            yield
        finally:
            os.close(descriptor)

    def set_environment(self, **values: str) -> None:
        """Change lines of ``.env``, keep every other line and comment."""
        for name, value in values.items():
            dotenv.set_key(self.env_file, name, value, quote_mode="never")
        self.forget()

    def forget(self) -> None:
        """Read ``.env`` again at the next question."""
        for name in ("environment", "settings"):
            self.__dict__.pop(name, None)


def find_project(start: Path, *, lenient: bool = False) -> Project:
    """Return the project that ``start`` lies in; raises ProjectError when there is none."""
    start = start.absolute()
    for directory in (start, *start.parents):
        if (directory / MANIFEST_NAME).is_file():
            return Project(directory, lenient=lenient)
    raise ProjectError(OUTSIDE_PROJECT)


def _flaw(line: Binding) -> str:
    """Return why a line of ``.env`` cannot be used; empty when it can."""
    if line.error:
        return (
            f"line {line.original.line} is neither NAME=value nor a comment, or its quotes do not "
            "match"
        )
    if line.value and "$" in line.value:  # Compose would take what follows for a variable
        return f"{line.key} may not contain a $"
    return ""


def _usable(name: str, text: str) -> bool:
    """Tell whether ``text`` can be the value of ``name``; any can be of what is no setting."""
    setting = next((each for each in SETTINGS if each.name == name), None)
    try:
        if setting is not None:
            setting.parse(text.strip() or setting.default)
    except (ValueError, KeyError):
        return False
    return True


def _locked(descriptor: int) -> bool:
    """Try to lock; False when another process holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems have no locks for directories: then there is none to hold.
        return error.errno != errno.EWOULDBLOCK
    return True
