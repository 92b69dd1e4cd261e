"""A denzel project on disk: where it is, what its ``.env`` says, what denzel recorded in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import dotenv
from dotenv.parser import parse_stream

from denzel.errors import ProjectError, UsageError
from denzel.templates.project.app.runtime.settings import SettingError, Settings, parse_settings

MANIFEST_NAME = ".denzel.json"
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
    """A project found on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

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
            raise ProjectError(f"{self.env_file} cannot be read: {error}") from error
        for line in lines:
            if line.error:
                raise UsageError(
                    f"In {self.env_file}: line {line.original.line} is neither NAME=value nor a "
                    "comment, or its quotes do not match"
                )
        values = {line.key: line.value for line in lines if line.key and line.value is not None}
        for name, value in values.items():
            if "$" in value:  # Compose would take what follows for a variable, denzel would not
                raise UsageError(f"In {self.env_file}: {name} may not contain a $")
        return values

    @cached_property
    def settings(self) -> Settings:
        """The settings, parsed; a missing one has its default.

        Without PROJECT_NAME in ``.env`` the directory's name is used, as Compose does.
        """
        try:
            return parse_settings({"PROJECT_NAME": self.root.name, **self.environment})
        except SettingError as error:
            raise UsageError(f"In {self.env_file}: {error}") from error

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

    def set_environment(self, **values: str) -> None:
        """Change lines of ``.env``, keep every other line and comment."""
        for name, value in values.items():
            dotenv.set_key(self.env_file, name, value, quote_mode="never")
        self.forget()

    def forget(self) -> None:
        """Read ``.env`` again at the next question."""
        for name in ("environment", "settings"):
            self.__dict__.pop(name, None)


def find_project(start: Path) -> Project:
    """Return the project that ``start`` lies in; raises ProjectError when there is none."""
    start = start.absolute()
    for directory in (start, *start.parents):
        if (directory / MANIFEST_NAME).is_file():
            return Project(directory)
    raise ProjectError(OUTSIDE_PROJECT)
