"""Bring the files denzel owns in a project up to this version; never lose what a user wrote."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from denzel import __version__
from denzel.project import Project
from denzel.scaffold import digest, owned_files, write_owned_file
from denzel.settings import SETTINGS, project_values, render_setting


@dataclass
class UpgradeResult:
    """What became of the files, by their path in the project.

    ``conflicts`` are files the user changed: denzel's version lies beside each as ``FILE.new``.
    """

    version: str = __version__
    replaced: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def upgrade(project: Project) -> UpgradeResult:
    """Replace each file that is as denzel left it; write FILE.new beside one the user changed.

    A file the user changed gets a FILE.new only when denzel's version of it is new.  Files that
    denzel does not have any more go, if they are unchanged.  New settings are added to ``.env``.
    """
    result = UpgradeResult()
    manifest = project.manifest
    owned = owned_files(gpu=project.settings.gpu)
    hashes = {}
    for path, source in owned.items():
        hashes[path] = digest(source.read_bytes())
        _upgrade_file(project.root, path, source, manifest.files.get(path), result)
    for path in sorted(manifest.files.keys() - owned.keys()):
        _remove_if_unchanged(project.root, path, manifest.files[path], result)
    _add_settings(project, result)
    project.write_manifest(replace(manifest, version=__version__, files=hashes))
    return result


def _upgrade_file(
    root: Path, path: str, source: Path, recorded: str | None, result: UpgradeResult
) -> None:
    target = root / path
    newest = digest(source.read_bytes())
    current = _digest_of(target)
    if current == newest:
        return
    if current is None:
        write_owned_file(target, source)
        result.added.append(path)
    elif current == recorded:
        write_owned_file(target, source)
        result.replaced.append(path)
    elif newest != recorded:
        write_owned_file(root / f"{path}.new", source)
        result.conflicts.append(path)


def _remove_if_unchanged(root: Path, path: str, recorded: str, result: UpgradeResult) -> None:
    if _digest_of(root / path) == recorded:
        (root / path).unlink()
        result.removed.append(path)


def _add_settings(project: Project, result: UpgradeResult) -> None:
    missing = [setting for setting in SETTINGS if setting.name not in project.environment]
    if missing and project.environment:
        values = project_values(project.name, gpu=project.settings.gpu)
        with project.env_file.open("a", encoding="utf-8") as file:
            for setting in missing:
                file.write(
                    "\n" + render_setting(setting, values.get(setting.name, setting.default))
                )
                result.added.append(f".env: {setting.name}")
        project.forget()


def _digest_of(path: Path) -> str | None:
    try:
        return digest(path.read_bytes())
    except FileNotFoundError:
        return None
