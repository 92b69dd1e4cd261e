"""Convert a project of denzel 0.3, the tool of 2019, and of its predecessors from 0.1.4 on.

The pipeline, the model and the requirements stay as they are: their contract has not changed.
Everything else of theirs makes way for this version's files.
"""

from __future__ import annotations

import re
from pathlib import Path

from denzel import __version__
from denzel.env_file import PRIVATE, EnvFile, setting_line
from denzel.file_changes import FileChanges
from denzel.project import (
    MANIFEST_NAME,
    OLD_NAME,
    Manifest,
    Project,
    is_of_version_0_3,
    manifest_text,
)
from denzel.scaffold import USER_FILES, digest, owned_files
from denzel.settings import new_secrets, project_values, render_env, render_secrets
from denzel.templates import template_files
from denzel.upgrade import Upgrade, UpgradeResult, own_lines_note

KNOWN = frozenset((
    "0a3a5113db13d407c3f45b7ffc5861a29f4187d2010951269bd13d4d7d5a5769",
    "11270eead34c4117a83b1aacc383f27eb1375f872e5796645fbe52ae7ac20b63",
    "148a6fe64a582c1bb63ed7ff153e62162bd04bc0809c6ed8423561c34ae89be1",
    "1ee610f7a0f4c0ec8127f9a2b49e3d1e865355432cd10dfc4b3f5e87adcd4ecc",
    "29319d0cc2c01a1f8e18c3aefddc622a1b4a34ae8b3c8c474e1da5676df4ef1d",
    "2b49c99622c4f2eaef51238db190b8c7e11e587529287bd3ef80c54884fa3d92",
    "335d1cb24fdc382c83a62b835f4c0067a7babb95498ca9a3b0dbca431286434e",
    "3453415e2e655aeedfbacc51a7ea82ae86b3898a26d6407f4466ab59d37e8274",
    "581d24e80adb33efeadca08acab0ccd26c54c969a7f1cd3af1c4f11a97b843c3",
    "59baf36a8de25ff5dfd057aad208081326ccf8c480bc67e8a8d8d24a7eefe1c2",
    "5d257a8917ea5adfcd7cfded2c2f1f9a1ec8acfe55e6957e40132c16a21b3407",
    "685bb7d6915329020c1e3c12e9b80f6e7f7bda2612af500879d46d5e5ec2cf87",
    "7253774e7c98cade53ff05092d5066bad4b69182cb0444f82450764179d19b64",
    "8138203b4e9f6f673d5ca13095061448f9547f2f36c9594cf69ccb30e52a55c6",
    "8d0cf0dbb9af07381d3288ddf993cf937f5c2bc7336a68494c0f63c2a8ebf103",
    "b7d8145030a24063c088293d254717e2bfa470146280be5fed25f6f6466c0bdf",
    "b83155a70453accf8d0946da36af57210a8ce132682cc4b380f852cba4b369a9",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "e88a29db47ad1542e6ac6d41a94333d8d6ca44ae52d383709982d9ca3b13f0ba",
    "f08567cb32b26228fd28578e1aae24591d26ee676c302b0a7fe07f527de5b3b2",
))  # fmt: skip
"""Digests of the files that 0.1.4, 0.1.5, 0.2.0 and 0.3.0 wrote, of PyPI's distributions."""
RETIRED = ("Dockerfile.gpu",)
FLAG_FILES = re.compile(
    r"\.(building|worker_loading|updatepipreqs|updateosreqs|(api|denzel|monitor)_(pip|os))"
)
"""Empty files by which 0.3 told its containers what to do."""
IGNORE_FILES = (".gitignore", ".gitattributes", ".dockerignore")
"""0.3 had none, so these are the user's, whose lines stay beside denzel's."""
DEFAULT_IMAGES = frozenset({"denzel", "denzel-gpu"})
"""Names of images that all projects of 0.3 shared."""
OLDEST_REDIS = 7
OWN_NAMES = frozenset(
    {
        OLD_NAME, "api_port", "monitor_port", "image_name", "image_tag",
        "dockerfile", "runtime", "redis_image_tag",
    }
)  # fmt: skip


def find_version_0_3(start: Path) -> Project | None:
    """Return the project of denzel 0.3 that ``start`` lies in; None when there is none."""
    start = start.absolute()
    for directory in (start, *start.parents):
        if is_of_version_0_3(directory):
            return Project(directory, lenient=True)
    return None


def plan_conversion(project: Project) -> Upgrade:
    """Return what makes a project of denzel 0.3 one of this version; nothing is changed yet.

    Files that are as 0.3 wrote them are replaced; one the user changed is kept as ``FILE.old``.
    """
    root = project.root
    upgrade = Upgrade(UpgradeResult(), FileChanges(root))
    result, changes = upgrade.result, upgrade.changes
    old = EnvFile(project.env_file).read(lenient=True)
    gpu = old.get("runtime") == "nvidia" or (root / "Dockerfile.gpu").exists()
    owned = owned_files(gpu=gpu)
    for path, source in owned.items():
        _plan_file(upgrade, root, path, source.read_bytes())
    for path, source in template_files("project"):
        if path in USER_FILES and not (root / path).exists():
            changes.write(path, source.read_bytes())
            result.added.append(path)
    for path in RETIRED:
        if (root / path).is_file() and _is_known(root / path):
            changes.remove(path)
            result.removed.append(path)
    for file in sorted(root.iterdir()):
        if FLAG_FILES.fullmatch(file.name):
            changes.remove(file.name)
    values = _settings(old, root, gpu, result)
    extra = {name: text for name, text in old.items() if name not in OWN_NAMES}
    secrets = render_secrets(new_secrets(values)).encode()
    changes.write(project.secrets_file.name, secrets, mode=PRIVATE)
    # These come last, in this order: an interrupted conversion is begun again.
    changes.write(".env", _render(values, extra, result).encode())
    result.replaced.append(".env")
    result.added.append(project.secrets_file.name)
    hashes = {path: digest(source.read_bytes()) for path, source in owned.items()}
    changes.write(MANIFEST_NAME, manifest_text(Manifest(__version__, hashes)).encode())
    return upgrade


def _plan_file(upgrade: Upgrade, root: Path, path: str, content: bytes) -> None:
    target = root / path
    if not target.exists():
        upgrade.changes.write(path, content)
        upgrade.result.added.append(path)
    elif path in IGNORE_FILES:
        mine = target.read_bytes().rstrip(b"\n") + b"\n\n"
        upgrade.changes.write(path, mine + content)
        upgrade.result.replaced.append(path)
    elif digest(target.read_bytes()) != digest(content):
        if not _is_known(target):
            kept = _free_name(root, path)
            upgrade.changes.move(path, kept)
            upgrade.result.kept[path] = kept
        upgrade.changes.write(path, content)
        upgrade.result.replaced.append(path)


def _free_name(root: Path, path: str) -> str:
    """Return what a file of the user's can be called that makes way."""
    names = (f"{path}.old", *(f"{path}.old{number}" for number in range(2, 100)))
    return next(name for name in names if not (root / name).exists())


def _is_known(file: Path) -> bool:
    """Tell whether a file is as an old denzel wrote it."""
    return digest(file.read_bytes()) in KNOWN


def _settings(old: dict[str, str], root: Path, gpu: bool, result: UpgradeResult) -> dict[str, str]:
    """Return the settings that 0.3's mean: name, ports, GPU and images."""
    name = _project_name(old.get(OLD_NAME, ""), root.name)
    values = project_values(name, gpu=gpu)
    for ours, theirs in (("API_PORT", "api_port"), ("MONITOR_PORT", "monitor_port")):
        if old.get(theirs, "").isdigit():
            values[ours] = old[theirs]
    image = old.get("image_name", "")
    if image and image not in DEFAULT_IMAGES:
        values["IMAGE"] = f"{image}:{old.get('image_tag') or 'latest'}"
    tag = old.get("redis_image_tag", "")
    major = re.match(r"\d+", tag)
    if major and int(major[0]) >= OLDEST_REDIS:
        values["REDIS_IMAGE"] = f"redis:{tag}"
    elif tag and tag != "4":  # 4 is what 0.3 wrote by itself
        result.notes.append(
            f"redis:{tag} cannot serve this version, which takes Redis {OLDEST_REDIS} and newer: "
            "REDIS_IMAGE is the default"
        )
    return values


def _project_name(name: str, directory: str) -> str:
    """Return a name that Compose takes; its old version dropped what does not fit in it, too."""
    for text in (name, directory):
        if fitting := re.sub(r"[^a-z0-9_-]", "", text.lower()).lstrip("_-"):
            return fitting
    return "denzel"


def _render(values: dict[str, str], extra: dict[str, str], result: UpgradeResult) -> str:
    """Return the text of ``.env``, with lines of the user's own at its end."""
    text = render_env(values)
    usable = {name: value for name, value in extra.items() if "$" not in value}
    if usable:
        text += "\n# Lines of your own, which now reach the services as environment variables.\n"
        text += "".join(f"{setting_line(name, value)}\n" for name, value in usable.items())
        result.notes.append(own_lines_note(usable))
    result.notes.extend(
        f"{name} is not in .env any more: no value there may contain a $"
        for name in extra.keys() - usable.keys()
    )
    return text
