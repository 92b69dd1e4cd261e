"""Manifests as a cluster gets them: made by Kustomize from an export."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from denzel.export import OVERLAY, kubernetes_files, namespace_of, write
from denzel.project import Project

IMAGE = "registry.example:5000/shop/window:1.0"
Manifest = dict[str, Any]


def export(project: Project, directory: Path, *components: str) -> Path:
    """Export a project for Kubernetes, with further components in its overlay; return that."""
    files = kubernetes_files(project, IMAGE, namespace_of(project, None))
    write(files, directory, force=directory.exists())
    overlay = directory / OVERLAY
    if components:
        path = overlay / "kustomization.yaml"
        text = path.read_text(encoding="utf-8").replace("# components:", "components:")
        for each in components:
            text = text.replace(f"# - ../../components/{each}\n", f"  - ../../components/{each}\n")
        path.write_text(text, encoding="utf-8")
    return overlay


def build(overlay: Path) -> list[Manifest]:
    """Return what Kustomize makes of an overlay; it says nothing besides."""
    if lacking := _lacking():
        pytest.skip(lacking)
    done = subprocess.run(["kubectl", "kustomize", str(overlay)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


@cache
def _lacking() -> str:
    """Return why there is no Kustomize; components need version 5, as kubectl has it since 1.27."""
    if shutil.which("kubectl") is None:
        return "there is no kubectl (Debian 13: apt-get install kubectl)"
    command = ["kubectl", "version", "--client", "--output", "json"]
    version = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    if version.get("kustomizeVersion", "v0").startswith(("v0", "v4")):
        return "kubectl is older than 1.27"
    return ""


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the manifest of this kind and name; a generated name may end in a hash."""
    found = [
        each
        for each in manifests
        if each["kind"] == kind and each["metadata"]["name"].startswith(name)
    ]
    exact = [each for each in found if each["metadata"]["name"] == name]
    (manifest,) = exact or found
    return manifest


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Return the specifications of the pods by the name of what makes them."""
    makers = [each for each in manifests if each["kind"] in ("Deployment", "StatefulSet")]
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in makers}
