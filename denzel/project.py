"""A denzel project on disk: where it is, what its settings say, what denzel recorded in it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from denzel.env_file import EnvFile, write_atomically
from denzel.errors import DenzelError, ProjectError, UsageError
from denzel.polling import polls
from denzel.templates.project.app.runtime.settings import (
    IN_EITHER_FILE,
    INTERNAL,
    SECRETS,
    SETTINGS,
    SettingError,
    Settings,
    parse_settings,
)
from denzel.templates.project.app.runtime.settings.secrets import FILE as SECRETS_FILE

MANIFEST_NAME = ".denzel.json"
RUNTIME = Path("app/runtime/bootstrap")
OF_VERSION_0_3 = ("docker-compose.yml", "app/tasks.py", "entrypoints/denzel.sh")
"""What a project of denzel 0.3 has; it has no RUNTIME."""
OLD_NAME = "COMPOSE_PROJECT_NAME"
"""Its name in the ``.env`` of denzel 0.3."""
NEARLY_THE_SAME = 0.8
"""How alike (difflib's ratio) a name is to a setting's that was probably meant."""
LOCK_SECONDS = 2.0
LOCK_POLL_SECONDS = 0.1
OUTSIDE_PROJECT = "You must be inside project's directory to call this command"


@dataclass(frozen=True)
class Manifest:
    """What denzel keeps in ``.denzel.json``, which travels with the project.

    ``files`` maps the path of each file denzel owns to the SHA-256 of what it wrote there.
    """

    version: str
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """What was chosen at launch, kept until shutdown in ``.denzel``, which does not travel.

    ``backend`` is None when the project is not launched; a port is None when it is the one that
    ``.env`` names; ``image`` is the one that services run, None when they run the project's files.
    """

    backend: str | None = None
    api_port: int | None = None
    monitor_port: int | None = None
    image: str | None = None


class Project:
    """A project found on disk.

    A ``lenient`` one passes over what cannot be used in its settings: for what must work all the
    same.
    """

    def __init__(self, root: Path, *, lenient: bool = False) -> None:
        self.root = root
        self.lenient = lenient
        self._is_changing = False

    @property
    def env_file(self) -> Path:
        """The file that holds everything that varies between projects, but for secrets."""
        return self.root / ".env"

    @property
    def secrets_file(self) -> Path:
        """The file that holds what must not get into version control."""
        return self.root / SECRETS_FILE

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
        """What ``.env`` and ``.env.secrets`` set, unparsed, and the ports chosen at launch.

        A line of ``.env`` that is not empty comes before one of ``.env.secrets``.
        """
        if not self.lenient and not self.env_file.exists():
            raise ProjectError(
                f"{self.env_file} is missing: it holds the settings, and who may use the API, and "
                "belongs into version control. Get it from where the project comes from, or run "
                "`denzel upgrade` to write one with the defaults"
            )
        settings, secrets = (file.read(lenient=self.lenient) for file in self._env_files)
        for name in (
            secrets.keys() & {setting.name for setting in SETTINGS} - SECRETS - IN_EITHER_FILE
        ):
            if not self.lenient:
                raise UsageError(f"In {self.secrets_file}: {name} is no secret; move it to .env")
            del secrets[name]
        unset = {name: text for name, text in secrets.items() if not settings.get(name)}
        launch = self.launch
        ports = {"API_PORT": launch.api_port, "MONITOR_PORT": launch.monitor_port}
        chosen = {name: str(port) for name, port in ports.items() if port is not None}
        return {**settings, **unset, **chosen}

    @property
    def _env_files(self) -> tuple[EnvFile, EnvFile]:
        return (
            EnvFile(self.env_file, read_by_compose=True),
            EnvFile(self.secrets_file, private=True),
        )

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
            is_secret = error.name in SECRETS or (
                error.name in IN_EITHER_FILE and not self.read_settings_file().get(error.name)
            )
            file = self.secrets_file if is_secret else self.env_file
            raise UsageError(f"In {file}: {error}") from error

    @property
    def flaw(self) -> str:
        """What a lenient project passes over in its settings; empty when there is nothing."""
        if self.lenient:
            try:
                _ = Project(self.root).settings
            except DenzelError as error:
                return str(error)
        return ""

    @property
    def misspelled(self) -> dict[str, str]:
        """Names in both files that are no settings but nearly so, each with the setting's name."""
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
    def tracked_secrets(self) -> list[str]:
        """Secrets that stand in ``.env``, and so travel with the project."""
        found = self.read_settings_file()
        return sorted(name for name in found if name in SECRETS and found[name])

    def read_settings_file(self) -> dict[str, str]:
        """Return what ``.env`` alone sets, but for what cannot be used."""
        return self._env_files[0].read(lenient=True)

    def read_secrets_file(self) -> dict[str, str]:
        """Return what ``.env.secrets`` alone sets, but for what cannot be used."""
        return self._env_files[1].read(lenient=True)

    @property
    def manifest(self) -> Manifest:
        """What denzel recorded in the project; nothing when that cannot be read.

        Only an upgrade needs it, which then takes every file for one that the user changed.
        """
        try:
            data = json.loads((self.root / MANIFEST_NAME).read_text(encoding="utf-8"))
            return Manifest(str(data["version"]), dict(data["files"]))
        except (OSError, ValueError, TypeError, KeyError):
            return Manifest("")

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace ``.denzel.json`` in one step."""
        write_atomically(self.root / MANIFEST_NAME, manifest_text(manifest).encode())

    @property
    def launch(self) -> Launch:
        """What was chosen at launch; nothing when that cannot be read."""
        try:
            launch = Launch(**json.loads(self._launch_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Launch()
        return launch if _is_sound(launch) else Launch()

    @property
    def backend(self) -> str | None:
        """Which backend runs the services; None when the project is not launched."""
        return self.launch.backend

    def record_backend(
        self,
        backend: str | None,
        *,
        api_port: int | None = None,
        monitor_port: int | None = None,
        image: str | None = None,
    ) -> None:
        """Remember which backend runs the services; None: the project is not launched.

        A port is one that was chosen instead of that in ``.env``, ``image`` one for release.
        """
        # A shutdown must succeed on a full disk, too, so nothing is written for it.
        if backend is None:
            self._launch_file.unlink(missing_ok=True)
        else:
            self.private.mkdir(mode=0o700, exist_ok=True)
            text = json.dumps(asdict(Launch(backend, api_port, monitor_port, image)))
            write_atomically(self._launch_file, text.encode())
        self.forget()

    @property
    def _launch_file(self) -> Path:
        return self.private / "launch.json"

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other denzel commands from changing this project's deployment at the same time.

        The lock is on the directory, so that it leaves nothing behind whatever ends this process.
        A directory that is gone has none.  What holds it may ask for it again.  Raises ProjectError
        when another command holds it for LOCK_SECONDS.
        """
        if self._is_changing or not self.root.is_dir():
            yield
            return
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not any(_locked(descriptor) for _ in polls(LOCK_POLL_SECONDS, timeout=LOCK_SECONDS)):
                raise ProjectError(
                    "Another denzel command is launching, stopping or changing this project; try "
                    "again when it is done"
                )
            self._is_changing = True
            yield
        finally:
            self._is_changing = False
            os.close(descriptor)

    def set_environment(self, **values: str) -> None:
        """Change lines of ``.env``, of ``.env.secrets`` for secrets; keep every other line."""
        settings, secrets = self._env_files
        settings.set({name: text for name, text in values.items() if name not in SECRETS})
        secrets.set({name: text for name, text in values.items() if name in SECRETS})
        self.forget()

    def write_secrets(self, text: str) -> None:
        """Replace ``.env.secrets`` in one step; its owner alone can read it."""
        self._env_files[1].write(text)
        self.forget()

    def forget(self) -> None:
        """Read the settings again at the next question."""
        for name in ("environment", "settings"):
            self.__dict__.pop(name, None)


def manifest_text(manifest: Manifest) -> str:
    """Return a manifest as it is written into ``.denzel.json``."""
    return json.dumps(asdict(manifest), indent=2) + "\n"


def find_project(start: Path, *, lenient: bool = False) -> Project:
    """Return the project that ``start`` lies in.

    Raises ProjectError when there is none, or one of denzel 0.3.
    """
    start = start.absolute()
    for directory in (start, *start.parents):
        if is_of_version_0_3(directory):
            raise ProjectError(
                f"{directory} is a project of denzel 0.3; run `denzel upgrade` to convert it"
            )
        if (directory / MANIFEST_NAME).is_file() or (directory / RUNTIME).is_dir():
            return Project(directory, lenient=lenient)
    raise ProjectError(OUTSIDE_PROJECT)


def is_of_version_0_3(directory: Path) -> bool:
    """Tell whether ``directory`` holds a project that denzel 0.3 or an older one made.

    It is one until the manifest is there, and before that ``.env``, which a conversion writes last.
    """
    if (directory / MANIFEST_NAME).exists():
        return False
    if not all((directory / path).is_file() for path in OF_VERSION_0_3):
        return False
    settings = EnvFile(directory / ".env").read(lenient=True)
    return OLD_NAME in settings or not (directory / RUNTIME).exists()


def _is_sound(launch: Launch) -> bool:
    """Tell whether what was read from a file has the types it should have."""
    ports = (launch.api_port, launch.monitor_port)
    names = (launch.backend, launch.image)
    return all(isinstance(name, str | None) for name in names) and all(
        isinstance(port, int | None) for port in ports
    )


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
