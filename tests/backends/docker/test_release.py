"""What builds an image for release: the commands, the builder, and what a registry's words mean."""

from __future__ import annotations

import fcntl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from denzel.backends.docker import release_commands as commands
from denzel.backends.docker.backend import ComposeBackend
from denzel.backends.docker.build import run_build
from denzel.backends.docker.environment import write_secret_files
from denzel.backends.docker.errors import explain_pull, explain_push, release_failure
from denzel.backends.docker.release import Builder, ReleaseImages, read_builder
from denzel.errors import CommandError, EngineError, Interrupted, ProjectError, UsageError
from denzel.operations.release import build as build_release
from denzel.operations.release import private_key_in_project
from denzel.project import Project

LISTING = """Name:          default
Driver:        docker

Nodes:
Name:             default
Platforms:        linux/amd64*, linux/amd64/v2, linux/386
"""
KEPT = "the image is on this machine"


def test_an_image_is_given_its_secrets_before_it_asks_a_redis_of_the_users(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold the password; nothing has been started yet that would have needed them."""
    password = project.private / "secrets" / "REDIS_PASSWORD"
    docker = tmp_path / "docker"
    docker.write_text(
        f"#!/bin/sh\ncase \"$*\" in 'compose version'*) echo 2.30.0;; *) cat {password};; esac\n"
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    project.set_environment(REDIS_URL="redis://cache.example/1", REDIS_PASSWORD="theirs")
    project.record_backend("docker", image="host/iris:1")
    told: list[object] = []
    ComposeBackend(project, told.append).check_redis()
    assert told == ["theirs"]


def labelled(**labels: str) -> Any:
    """A client of an engine that has every image, each with certain labels."""
    image = SimpleNamespace(labels=labels)
    return SimpleNamespace(images=SimpleNamespace(get=lambda _: image))


def test_what_is_another_projects_image_is_told(project: Project) -> None:
    told: list[str] = []
    images = ReleaseImages(project, told.append)
    for title in (project.name, "iris"):
        labels = {commands.RELEASE_LABEL: "1.0.0", f"{commands.OCI}.title": title}
        images.__dict__["_client"] = labelled(**labels)
        images.fetch("shop:1", newest=True)
    assert told == [
        "shop:1 was made of the project iris: it runs here as shop_window, with the settings and "
        "secrets of this one"
    ]


def test_what_a_digest_names_is_not_pulled_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # there is no docker to pull with
    images = ReleaseImages(project, print)
    images.__dict__["_client"] = labelled(**{commands.RELEASE_LABEL: "1.0.0"})
    images.fetch(f"host.example/shop@sha256:{'a' * 64}", newest=True)
    with pytest.raises(EngineError, match="docker is not installed"):
        images.fetch("host.example/shop:1", newest=True)


def test_a_push_that_is_interrupted_says_what_there_is(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    for step in ("preflight", "build", "keep_lock", "name", "forget"):
        monkeypatch.setattr(ReleaseImages, step, lambda *_, **__: None)
    monkeypatch.setattr(ReleaseImages, "push", interrupt)
    with pytest.raises(Interrupted, match="shop:1 was not pushed, and the image is"):
        build_release(
            project, tag="host.example/shop:1", push=True, platforms=[], check=False, timeout=1,
            report=print,
        )  # fmt: skip


def test_one_image_of_a_project_is_built_at_a_time(project: Project) -> None:
    def build(command: list[str]) -> None:
        run_build(command, "for release", project, lambda _: None, {})

    build(["echo", "the first"])
    log = project.logs / "build.log"
    with log.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ProjectError, match="is building an image of this project"):
            build(["echo", "the second"])
    assert log.read_text() == "the first\n"
    build(["echo", "3"])
    assert log.read_text() == "3\n"


def test_a_private_key_that_an_image_would_hold_is_told(project: Project) -> None:
    assert private_key_in_project(project) == ""
    project.set_environment(REDIS_URL="rediss://cache.example", REDIS_CERTIFICATE="tls/own.pem")
    assert private_key_in_project(project) == ""  # it is not there
    (project.root / "tls").mkdir()
    (project.root / "tls/own.pem").touch()
    assert private_key_in_project(project) == "tls/own.pem"
    project.set_environment(REDIS_KEY="/run/keys/own.key")
    assert private_key_in_project(project) == ""
    project.set_environment(REDIS_KEY="tls/own.pem")
    with (project.root / ".dockerignore").open("a", encoding="utf-8") as file:
        file.write("tls/own.pem\n")
    assert private_key_in_project(project) == ""


def test_the_command_that_builds() -> None:
    argv = commands.build(
        "host/iris:1", settings=Path("/p/.env"), arguments={"BASE_IMAGE": "python:3.13-slim"},
        labels={"a.b": "c d"},
    )  # fmt: skip
    assert argv == [
        "docker", "buildx", "build", "--progress", "plain", "--target", "release",
        "--tag", "host/iris:1", "--load", "--provenance=false", "--sbom=false",
        "--secret", "id=env,src=/p/.env", "--build-arg", "BASE_IMAGE=python:3.13-slim",
        "--label", "a.b=c d", ".",
    ]  # fmt: skip


def test_the_command_that_builds_for_several_platforms_and_pushes() -> None:
    argv = commands.build(
        "iris", settings=Path("s"), arguments={}, labels={},
        platforms=["linux/amd64", "linux/arm64"], push=True, sbom=True,
    )  # fmt: skip
    assert argv[argv.index("--tag") :] == [
        "--tag", "iris", "--push", "--provenance=false", "--sbom=true",
        "--platform", "linux/amd64,linux/arm64", "--secret", "id=env,src=s", ".",
    ]  # fmt: skip


def test_the_trial_is_locked_down_and_shows_no_value() -> None:
    argv = commands.check("c", "iris:1", ["TOKEN"], "--timeout", "3", platform="", gpus=False)
    assert argv[:7] == ["docker", "run", "--rm", "--name", "c", "--read-only", "--tmpfs"]
    assert argv[argv.index("--env") :] == [
        "--env", "TOKEN", "iris:1", "/opt/denzel/python", "-P", "app/runtime/start.py",
        "app.runtime.bootstrap", "--run", "python", "-P", "app/runtime/start.py",
        "app.runtime.pipeline.check", "--timeout", "3",
    ]  # fmt: skip
    assert "--gpus" in commands.check("c", "i", [], platform="linux/arm64", gpus=True)


@pytest.mark.parametrize(
    ("listing", "storage", "driver", "can_build_many"),
    [
        (LISTING, [["Backing Filesystem", "extfs"]], "docker", False),
        (LISTING, [["driver-type", "io.containerd.snapshotter.v1"]], "docker", True),
        (LISTING.replace("docker", "docker-container"), None, "docker-container", True),
    ],
)  # fmt: skip
def test_a_builder_is_known_by_what_buildx_prints(
    listing: str, storage: Any, driver: str, can_build_many: bool
) -> None:
    builder = read_builder(listing, {"DriverStatus": storage})
    assert builder.driver == driver
    assert builder.platforms == {"linux/amd64", "linux/amd64/v2", "linux/386"}
    assert builder.can_build_many is can_build_many


@pytest.mark.parametrize(
    ("platforms", "push", "error", "said"),
    [
        (["arm"], False, UsageError, "arm is no platform"),
        (["linux/arm64"], False, EngineError, "for linux/arm64, but for linux/386, linux/amd64"),
        (["linux/amd64", "linux/386"], True, EngineError, "docker buildx create --use"),
        (["linux/386"], True, None, ""),
        ([], True, None, ""),
    ],
)  # fmt: skip
def test_platforms_that_cannot_be_built_for_are_refused(
    project: Project, platforms: list[str], push: bool, error: type[Exception] | None, said: str
) -> None:
    images = ReleaseImages(project, print)
    images.__dict__["_builder"] = Builder("docker", frozenset({"linux/amd64", "linux/386"}), False)
    if error is None:
        images.preflight(platforms, push=push)
        return
    with pytest.raises(error, match=said):
        images.preflight(platforms, push=push)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no basic auth credentials", "run `docker login host:5000`"),
        ("denied: requested access to the resource is denied", "run `docker login host:5000`"),
        ("unauthorized: authentication required", "run `docker login host:5000`"),
        ('Get "https://host:5000/v2/": dial tcp 1.2.3.4:5000: connect: connection refused',
         "host:5000 cannot be reached (dial tcp 1.2.3.4:5000: connect: connection refused)"),
        ('Get "https://host:5000/v2/": http: server gave HTTP response to HTTPS client',
         '"insecure-registries"'),
        ('Get "https://host:5000/v2/": tls: failed: x509: certificate signed by unknown authority',
         "x509: certificate signed by unknown authority"),
        ("692d: Retrying in 1 second\nreceived unexpected HTTP status: 500 Internal Server Error",
         "host:5000 answers 500 Internal Server Error; its disk may be full"),
    ],
)  # fmt: skip
def test_a_push_that_fails_says_what_to_do(text: str, said: str) -> None:
    error = str(explain_push(EngineError(text), "host:5000", "host:5000/iris:1"))
    assert error.startswith("host:5000/iris:1 was not pushed: ")
    assert said in error
    assert KEPT in error


def test_what_else_a_push_says_stands_last() -> None:
    failed = CommandError("`docker push` failed", said="692d6f96562b: Retrying\nthe moon is full")
    error = str(explain_push(failed, "host", "host/iris:1"))
    assert error.startswith("host/iris:1 was not pushed to host: the moon is full; ")


def test_a_build_that_fails_before_a_push_is_told_as_it_is() -> None:
    error = EngineError("The image could not be built\nThe end of logs/build.log:\n    no")
    assert explain_push(error, "host", "host/iris:1") is error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "manifest for host/iris:1 not found: manifest unknown",
            "is not on this machine, and could not be pulled: host has no",
        ),
        ("pull access denied, may require 'docker login': denied: no", "`docker login host`"),
        ("the moon is full", "could not be pulled from host: the moon is full"),
    ],
)
def test_a_pull_that_fails_says_what_to_do(text: str, said: str) -> None:
    assert said in str(explain_pull(text, "host", "host/iris:1"))


def test_docker_hub_needs_no_name_to_log_in() -> None:
    assert "`docker login`" in str(
        explain_push(EngineError("denied: no"), "docker.io", "me/iris:1")
    )


def test_a_step_of_the_build_says_why_it_failed() -> None:
    said = (
        " > [packages 2/2] RUN ...:\n12.34 pip said\n13.5 denzel: nosuchpackage is not there\n---"
    )
    assert release_failure(said) == "nosuchpackage is not there"
    assert release_failure("#9 0.5 denzel: .env would be in the image") == (
        ".env would be in the image"
    )
    assert release_failure("#9 0.5 something else") == ""


def test_secrets_are_files_that_services_can_read_and_others_cannot_reach(project: Project) -> None:
    project.write_secrets("TOKEN='a b'\nGONE=x\nEMPTY=\nPIP_INDEX_URL=https://user:pw@host/\n")
    write_secret_files(project)
    project.write_secrets("TOKEN=c\nEMPTY=\n")
    write_secret_files(project)
    directory = project.private / "secrets"
    assert {path.name: path.read_text() for path in directory.iterdir()} == {"TOKEN": "c"}
    assert (directory / "TOKEN").stat().st_mode & 0o777 == 0o444
    assert directory.stat().st_mode & 0o777 == 0o755
    assert project.private.stat().st_mode & 0o777 == 0o700
