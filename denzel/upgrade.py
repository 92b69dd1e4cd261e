"""Bring the files denzel owns in a project up to this version; never lose what a user wrote."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from denzel import __version__
from denzel.env_file import PRIVATE, replace_lines, with_lines
from denzel.file_changes import FileChanges
from denzel.project import MANIFEST_NAME, Manifest, Project, manifest_text
from denzel.scaffold import GPU_FILE, digest, owned_files
from denzel.settings import (
    SECRETS,
    SETTINGS,
    new_secrets,
    project_values,
    render_env,
    render_secrets,
    render_setting,
)

GITIGNORE = ".gitignore"


@dataclass
class UpgradeResult:
    """What becomes of the files, by their path in the project.

    ``conflicts`` are files the user changed: denzel's version lies beside each as ``FILE.new``.
    ``kept`` are files the user changed that had to make way, each with the name that theirs has
    now.  ``notes`` are sentences about what else to know.
    """

    version: str = __version__
    replaced: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def touches_services(self) -> bool:
        """Whether anything that running services use is different afterwards."""
        return bool(self.replaced or self.added or self.removed)


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade will do, and the changes that do it, all of them or none."""

    result: UpgradeResult
    changes: FileChanges


def plan_upgrade(project: Project) -> Upgrade:
    """Return what brings ``project`` up to this version; nothing is changed yet.

    Each file that is as denzel left it is replaced; one the user changed stays, and gets a FILE.new
    beside it if denzel's version of it is new.  Files that denzel does not have any more go, if
    they are unchanged.  New settings are added to ``.env``, and secrets move to ``.env.secrets``.
    """
    upgrade = Upgrade(UpgradeResult(), FileChanges(project.root))
    manifest = project.manifest
    owned = owned_files(gpu=_gpu(project))
    for path, source in owned.items():
        _plan_file(upgrade, project.root, path, source, manifest.files.get(path))
    for path in sorted(manifest.files.keys() - owned.keys()):
        if _digest_of(project.root / path) == manifest.files[path]:
            upgrade.changes.remove(path)
            upgrade.result.removed.append(path)
    _plan_settings(upgrade, project)
    if not _keeps_secrets_out(upgrade, project):
        upgrade.result.notes.append(
            f".gitignore does not name {project.secrets_file.name}: add the line "
            f"{project.secrets_file.name}*, or git takes your secrets"
        )
    hashes = {path: digest(source.read_bytes()) for path, source in owned.items()}
    upgrade.changes.write(MANIFEST_NAME, manifest_text(Manifest(__version__, hashes)).encode())
    return upgrade


def _plan_file(upgrade: Upgrade, root: Path, path: str, source: Path, recorded: str | None) -> None:
    content = source.read_bytes()
    newest, current = digest(content), _digest_of(root / path)
    if current == newest:
        return
    if current is None:
        upgrade.changes.write(path, content)
        upgrade.result.added.append(path)
    elif current == recorded:
        upgrade.changes.write(path, content)
        upgrade.result.replaced.append(path)
    elif newest != recorded:
        upgrade.changes.write(f"{path}.new", content)
        upgrade.result.conflicts.append(path)


def _plan_settings(upgrade: Upgrade, project: Project) -> None:
    """Add new settings and missing secrets; move secrets out of the file that travels."""
    if not project.env_file.exists():
        values = project_values(project.root.name, gpu=_gpu(project))
        upgrade.changes.write(project.env_file.name, render_env(values).encode())
        upgrade.result.added.append(project.env_file.name)
        upgrade.result.notes.append(
            ".env was missing, and now holds the defaults: without API_KEYS, which it may have "
            "had, the API answers everybody who reaches it"
        )
        _plan_secrets(upgrade, project, new_secrets(values))
        return
    settings = project.read_settings_file()
    moved = {name: settings[name] for name in project.tracked_secrets}
    text = project.env_file.read_text(encoding="utf-8")
    where = {name: f"# {name} stands in {project.secrets_file.name}" for name in SECRETS}
    text = replace_lines(text, where)
    values = project_values(project.name, gpu=project.settings.gpu)
    for setting in SETTINGS:
        if setting.name not in settings and not setting.secret:
            text = text if text.endswith("\n") else f"{text}\n"
            value = values.get(setting.name, setting.default)
            text += "\n" + render_setting(setting, value)
            upgrade.result.added.append(f".env: {setting.name}")
    if text != project.env_file.read_text(encoding="utf-8"):
        upgrade.changes.write(project.env_file.name, text.encode())
    upgrade.result.notes.extend(
        f"Moved {name} from .env to {project.secrets_file.name}" for name in moved
    )
    own = settings.keys() - {setting.name for setting in SETTINGS}
    if moved and own:
        upgrade.result.notes.append(own_lines_note(own))
    _plan_secrets(upgrade, project, {**moved, **new_secrets(project.environment)})


def own_lines_note(names: Iterable[str]) -> str:
    """Return what to know of lines of the user's own in an ``.env`` that did not travel before."""
    return (
        ".env belongs into version control from now on: if any of these lines of your own is a "
        f"secret, move it to .env.secrets: {', '.join(sorted(names))}"
    )


def _plan_secrets(upgrade: Upgrade, project: Project, values: dict[str, str]) -> None:
    """Put secrets into their file, which is for its owner alone."""
    if not values:
        return
    file = project.secrets_file
    if file.exists():
        text = with_lines(file.read_text(encoding="utf-8"), values)
    else:
        text = render_secrets(values)
        upgrade.result.added.append(file.name)
    upgrade.changes.write(file.name, text.encode(), mode=PRIVATE)


def _keeps_secrets_out(upgrade: Upgrade, project: Project) -> bool:
    """Tell whether the project's ``.gitignore``, which may be the user's, names the secrets."""
    content = upgrade.changes.contents.get(GITIGNORE)
    if content is None:
        content = (project.root / GITIGNORE).read_bytes()
    name = project.secrets_file.name
    patterns = content.decode(errors="replace").split("\n")
    return any(fnmatch(name, pattern.strip().lstrip("/")) for pattern in patterns)


def _gpu(project: Project) -> bool:
    """Tell whether this is a project for GPUs; without ``.env`` a file of theirs tells."""
    if not project.env_file.exists():
        return (project.root / GPU_FILE).exists()
    return project.settings.gpu


def _digest_of(path: Path) -> str | None:
    try:
        return digest(path.read_bytes())
    except FileNotFoundError:
        return None
