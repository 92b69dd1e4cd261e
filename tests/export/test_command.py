"""``denzel export`` as its user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Denzel
from denzel.project import Project

IMAGE = "registry.example/shop:1"


def test_it_says_how_to_deploy_what_it_wrote(denzel: Denzel, project: Project) -> None:
    done = denzel("export", "swarm", "../my swarm", "--image", IMAGE, cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Successfully exported to ../my swarm\n"
    assert done.stderr == (
        "There will be no monitoring page: it needs MONITOR_USER, as every machine shows it\n"
        "Deploy it with: cd '../my swarm' && docker stack deploy --with-registry-auth "
        "-c stack.yml -c redis.yml shop_window\n"
    )
    done = denzel("export", "kubernetes", "../k8s", "--image", IMAGE, cwd=project.root)
    assert done.stderr == "Deploy it with: kubectl apply -k ../k8s/overlays/production\n"
    assert (project.root.parent / "k8s/overlays/production/kustomization.yaml").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["swarm", "deploy"], "lies in the project"),
        (["swarm", "."], "lies in the project"),
        (["kubernetes", "../full"], "is not empty"),
        (["swarm", "../full/file"], "is no directory"),
        (["swarm", "../new", "--namespace", "shop"], "--namespace is for Kubernetes"),
        (["kubernetes", "../new", "--namespace", "Shop"], "cannot be a namespace"),
        (["swarm", "../new", "--image", "Shop:1"], "cannot be an image's name"),
        (["nomad", "../new"], "'nomad' is not one of 'swarm', 'kubernetes'"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_written(
    denzel: Denzel, project: Project, arguments: list[str], said: str
) -> None:
    full = project.root.parent / "full"
    full.mkdir()
    (full / "file").touch()
    before = _files(project.root.parent)
    if "--image" not in arguments:
        arguments = [*arguments, "--image", IMAGE]
    done = denzel("export", *arguments, cwd=project.root)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert _files(project.root.parent) == before


def test_without_an_image_it_says_which_option_names_one(denzel: Denzel, project: Project) -> None:
    done = denzel("export", "swarm", "../new", cwd=project.root)
    assert done.returncode == 2
    assert "--image REGISTRY/NAME:TAG" in done.stderr
    assert not (project.root.parent / "new").exists()


def test_an_image_that_no_machine_could_pull_is_told(denzel: Denzel, project: Project) -> None:
    done = denzel("export", "kubernetes", "../new", "--image", "shop:1", cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert "shop:1 names no registry" in done.stderr
    done = denzel("export", "kubernetes", "../other", "--image", "ada/shop:1", cwd=project.root)
    assert "registry" not in done.stderr


def test_an_overlay_that_does_not_go_with_the_settings_is_told(
    denzel: Denzel, project: Project
) -> None:
    command = ("export", "kubernetes", "../k8s", "--image", IMAGE, "--force")
    assert "overlay" not in denzel(*command, cwd=project.root).stderr.partition("Deploy it")[0]
    project.set_environment(REDIS_URL="redis://cache.example/1", HTTPS_DOMAIN="shop.example")
    said = denzel(*command, cwd=project.root).stderr
    overlay = "overlays/production/kustomization.yaml"
    for name, setting in {"external-redis": "REDIS_URL", "ingress": "HTTPS_DOMAIN"}.items():
        assert f"Add ../../components/{name} to {overlay}: {setting} needs it" in said
    file = project.root.parent / "k8s" / overlay
    text = file.read_text(encoding="utf-8").replace("# components:", "components:")
    for name in ("external-redis", "ingress"):
        text = text.replace(f"# - ../../components/{name}", f"  - ../../components/{name}")
    file.write_text(text, encoding="utf-8")
    assert "Add " not in denzel(*command, cwd=project.root).stderr
    project.set_environment(REDIS_URL="")
    said = denzel(*command, cwd=project.root).stderr
    assert f"Take ../../components/external-redis out of {overlay}" in said


def test_the_monitors_password_is_made_as_at_launch(denzel: Denzel, project: Project) -> None:
    project.set_environment(MONITOR_USER="ada")
    done = denzel("export", "swarm", "../new", "--image", IMAGE, cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert "made anew: MONITOR_PASSWORD" in done.stderr
    assert (project.root.parent / "new/secrets/MONITOR_PASSWORD").is_file()


def test_a_monitor_without_a_password_is_refused_as_at_launch(
    denzel: Denzel, project: Project
) -> None:
    project.set_environment(MONITOR_HOST="0.0.0.0")
    done = denzel("export", "swarm", "../new", "--image", IMAGE, cwd=project.root)
    assert done.returncode == 2
    assert "MONITOR_USER" in done.stderr


def _files(directory: Path) -> set[Path]:
    return set(directory.rglob("*"))
