"""An image for release: built, pushed, pulled and launched on a real engine and registry.

The tests are one story: each goes on where the one before ended.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from denzel.backends.docker.release_commands import OCI, build
from docker_deployment import READY_SECONDS, SOON, Deployment, clone, wait_for
from engine import docker, left_behind, require_engine
from registry import registry

pytestmark = pytest.mark.docker

PIPELINE = """
import os

import tabulate

EXAMPLE = {"x": 1}


def verify_input(json_data):
    return json_data


def load_model():
    return {"token": os.environ["MODEL_TOKEN"], "user": os.getuid()}


def process(model, json_data):
    return json_data


def predict(model, data):
    return {**model, "version": tabulate.__version__, "x": data["x"]}
"""
ANSWER = {"token": "of the project", "user": 10001, "version": "0.9.0", "x": 7}
BROKEN = "\n\ndef predict(model, data):\n    raise RuntimeError('broken since')\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that takes what it gets."""
    require_engine()
    with registry(tmp_path_factory.mktemp("open") / "registry") as found:
        yield found


@pytest.fixture(scope="module")
def image(host: str) -> str:
    """The name of the image, without its tag."""
    return f"{host}/team/release-e2e-{os.getpid()}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Deployment]:
    """A project in git, with a requirement and a secret of its own."""
    parent = tmp_path_factory.mktemp("release")
    project = Deployment(parent, f"release-e2e-{os.getpid()}")
    (project.root / "app/logic/pipeline.py").write_text(PIPELINE)
    (project.root / "app/logic/pipeline.py").chmod(0o600)
    (project.root / "requirements.txt").write_text("tabulate==0.9.0\n")
    with (project.root / ".env.secrets").open("a") as secrets:
        secrets.write("MODEL_TOKEN='of the project'\n")
    clone(project.root, parent / "clone")
    yield project
    project.end()
    tags = docker("images", "--quiet", "--filter", f"reference={image}").split()
    if tags:
        docker("rmi", "--force", *set(tags))


@pytest.fixture(scope="module")
def built(project: Deployment, image: str) -> dict[str, Any]:
    """What `denzel build --push` says of the image."""
    done = subprocess.run(
        [sys.executable, "-m", "denzel", "build", "--tag", f"{image}:1.0", "--push", "--json"],
        cwd=project.root, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Trying the pipeline in the image" in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def inspect(image: str) -> dict[str, Any]:
    """Return what the engine knows of an image."""
    (found,) = json.loads(docker("image", "inspect", image))
    return dict(found)


def contents(image: str) -> tuple[dict[str, Any], list[set[tuple[object, ...]]]]:
    """Return an image's configuration, and the files of each of its layers.

    Not the layers' digests: the engine's own image store writes a layer's files in one of two
    orders (moby/moby issue 43540), as it finds the layer below made or cached.
    """
    with tempfile.TemporaryFile() as file:
        subprocess.run(["docker", "save", image], stdout=file, check=True)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            (manifest,) = json.loads(_read(archive, "manifest.json"))
            config = json.loads(_read(archive, manifest["Config"]))
            layers = [_files(_read(archive, name)) for name in manifest["Layers"]]
    del config["rootfs"]
    return config, layers


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def _files(layer: bytes) -> set[tuple[object, ...]]:
    """Return all there is to know of each file in a layer."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return {
            (
                each.name, each.type, each.mtime, each.mode, each.uid, each.gid, each.linkname,
                hashlib.sha256(_read(archive, each.name)).digest() if each.isfile() else None,
            )
            for each in archive
        }  # fmt: skip


def tags(image: str) -> list[str]:
    """Return the tags that a registry has of an image."""
    host, _, path = image.partition("/")
    return list(requests.get(f"http://{host}/v2/{path}/tags/list", timeout=SOON).json()["tags"])


def test_the_image_says_what_it_is(project: Deployment, built: dict[str, Any], image: str) -> None:
    found = inspect(built["image"])
    assert built["id"] == found["Id"]
    assert found["Config"]["User"] == "10001:10001"
    git = ["git", "-C", str(project.root), "-c", "safe.directory=*", "log", "-1"]
    commit = subprocess.run([*git, "--format=%H"], capture_output=True, text=True).stdout.strip()
    labels = found["Config"]["Labels"]
    assert labels[f"{OCI}.title"] == project.name
    assert labels[f"{OCI}.version"] == "1.0"
    assert labels[f"{OCI}.revision"] == commit
    assert labels[f"{OCI}.base.name"] == project.project.settings.base_image
    assert found["Created"][:19] == labels[f"{OCI}.created"][:19]
    assert tags(image) == ["1.0"]
    _, _, path = image.partition("/")
    manifest = requests.get(
        f"http://{image.split('/')[0]}/v2/{path}/manifests/1.0", timeout=SOON,
        headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
    )  # fmt: skip
    assert manifest.headers["Docker-Content-Digest"] == built["digest"]


def test_nothing_is_in_it_that_does_not_belong_there(
    project: Deployment, built: dict[str, Any]
) -> None:
    look = (
        "cd /srv/denzel; ls -A; echo --; for each in gcc git wget curl; do command -v $each; done; "
        "ls /opt/denzel/venv/bin /opt/denzel/venv/lib/*/site-packages | grep -ix 'pip.*'; "
        "ls /var/lib/apt/lists"
    )
    run = docker("run", "--rm", "--user", "0", built["image"], "sh", "-c", look)
    files, _, tools = run.partition("--\n")
    assert tools == ""
    ours = {".dockerignore", ".gitattributes", ".gitignore", "__init__.py", "__pycache__", "app"}
    theirs = {"entrypoints", "requirements.lock", "requirements.sh", "requirements.txt"}
    assert set(files.split()) == ours | theirs
    lock = docker("run", "--rm", built["image"], "cat", "requirements.lock")
    assert lock == (project.root / "requirements.lock").read_text()
    assert "tabulate==0.9.0" in lock
    history = docker("history", "--no-trunc", built["image"])
    assert "of the project" not in history + json.dumps(inspect(built["image"]))


def test_the_same_input_makes_the_same_image(project: Deployment, built: dict[str, Any]) -> None:
    found = inspect(built["image"])
    moment = subprocess.run(
        ["git", "-C", str(project.root), "-c", "safe.directory=*", "log", "-1", "--format=%ct"],
        capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    argv = build(
        f"{built['image']}-again",
        settings=project.root / ".env",
        arguments={
            "BASE_IMAGE": project.project.settings.base_image,
            "PROJECT_NAME": project.name,
            "SOURCE_DATE_EPOCH": moment,
        },
        labels=found["Config"]["Labels"],
    )
    again = [*argv[:-1], "--no-cache-filter", "project,packages,release", "."]
    subprocess.run(again, cwd=project.root, check=True, capture_output=True, timeout=600)
    again_config, again_layers = contents(f"{built['image']}-again")
    config, layers = contents(built["image"])
    assert again_config == config
    assert again_layers == layers


def test_it_is_pulled_and_launched(project: Deployment, built: dict[str, Any]) -> None:
    docker("rmi", "--force", built["id"])
    ports = ["--api-port", str(project.api_port), "--monitor-port", str(project.monitor_port)]
    printed = project.run("launch", "--image", built["image"], *ports)
    assert f"Pulling {built['image']}" in printed
    project.wait_until_ready()
    answer = requests.post(f"{project.api}/predict", json={"x": 7}, timeout=SOON)
    assert answer.json() == ANSWER
    (project.root / "x.json").write_text('{"x": 7}')
    assert json.loads(project.run("predict", "x.json")) == ANSWER
    assert "worker@" in project.run("logs", "--service", "denzel")
    assert "10001" in project.run("shell", stdin="id -u\n")


def test_its_services_are_locked_down(project: Deployment, built: dict[str, Any]) -> None:
    for service in ("api", "denzel", "monitor", "callbacks"):
        text = docker("inspect", f"{project.name}-{service}-1")
        (found,) = json.loads(text)
        assert [mount["Destination"] for mount in found["Mounts"]] == ["/run/secrets"]
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        for secret in ("MODEL_TOKEN", "REDIS_PASSWORD"):
            assert project.project.environment[secret] not in text


def test_what_changes_files_says_what_to_do_instead(project: Deployment) -> None:
    for command in (["reload"], ["rollback"], ["versions"], ["updatereqs"]):
        error = project.refused(*command)
        assert "stays as it is" in error
        assert "denzel launch --image" in error
    assert "denzel logs --service denzel" in project.refused("logworker")


def test_another_image_takes_over_with_queue_and_results(project: Deployment, image: str) -> None:
    task = requests.post(
        f"{project.api}/predict", json={"x": 7}, headers={"Prefer": "respond-async"}, timeout=SOON
    ).json()["data"]["task_id"]
    with (project.root / "app/assets/info.txt").open("a") as info:
        info.write("the second one\n")
    project.run("build", "--tag", f"{image}:2.0", "--no-check")
    pipeline = project.root / "app/logic/pipeline.py"
    pipeline.write_text(PIPELINE + BROKEN)
    project.run("build", "--tag", f"{image}:unusable", "--no-check")
    pipeline.write_text(PIPELINE)
    assert "cannot run from it" in project.refused("launch", "--image", project.redis_image)
    printed = project.failed("launch", "--image", f"{image}:unusable")
    assert "broken since" in printed
    assert f"{image}:1.0 goes on" in printed
    assert requests.post(f"{project.api}/predict", json={"x": 7}, timeout=SOON).json() == ANSWER
    project.run("launch", "--image", f"{image}:2.0", "--wait")
    assert "the second one" in requests.get(f"{project.api}/info", timeout=SOON).text
    assert json.loads(project.run("result", task)) == ANSWER
    project.run("restart")
    project.run("stop")
    project.run("start", "--wait")
    assert json.loads(project.run("result", task)) == ANSWER
    project.run("shutdown", "--purge")
    assert left_behind(project.name) == []


def test_what_does_not_work_gets_no_name_and_is_not_pushed(
    project: Deployment, image: str, tmp_path: Path
) -> None:
    pipeline = project.root / "app/logic/pipeline.py"
    pipeline.write_text(PIPELINE + BROKEN)
    printed = project.failed("build", "--tag", f"{image}:broken", "--push")
    pipeline.write_text(PIPELINE)
    assert "broken since" in printed
    assert tags(image) == ["1.0"]
    assert docker("images", "--quiet", f"{image}:broken") == ""
    with registry(tmp_path / "registry", closed=True) as closed:
        error = project.refused("build", "--tag", f"{closed}/iris:1", "--push", "--no-check")
        assert f"`docker login {closed}`" in error
        docker("rmi", f"{closed}/iris:1")
    error = project.refused("build", "--tag", f"{closed}/iris:1", "--push", "--no-check")
    assert f"{closed} cannot be reached" in error
    docker("rmi", f"{closed}/iris:1")
    (project.root / ".dockerignore").write_text("logs\n")
    error = project.refused("build", "--tag", f"{image}:3.0")
    for name in (".env", ".env.secrets", ".git", ".denzel"):
        assert name in error.split(" would be in the image")[0]


def test_plain_compose_runs_it_in_a_clone(project: Deployment, image: str) -> None:
    """Without denzel, and without the secrets: they are made anew."""
    root = project.parent / "clone"
    settings = {
        "RELEASE_IMAGE": f"{image}:2.0",
        "API_PORT": str(project.api_port),
        "MONITOR_PORT": str(project.monitor_port),
    }
    with (root / ".env").open("a") as lines:
        lines.writelines(f"{name}={text}\n" for name, text in settings.items())
        lines.write("MODEL_TOKEN=of the clone\n")
    compose = ["docker", "compose", "--file", "docker-compose.image.yml"]
    try:
        up = subprocess.run([*compose, "up", "--detach"], cwd=root, capture_output=True, text=True)
        assert up.returncode == 0, up.stderr

        def is_up() -> bool:
            try:
                answer = requests.post(f"{project.api}/predict", json={"x": 7}, timeout=SOON)
            except requests.RequestException:
                return False
            return bool(answer.ok and answer.json()["token"] == "of the clone")

        assert wait_for(is_up, READY_SECONDS), subprocess.run([*compose, "logs"], cwd=root).stdout
        assert (root / ".env.secrets").exists()
    finally:
        subprocess.run([*compose, "down", "--volumes"], cwd=root, check=True, capture_output=True)
