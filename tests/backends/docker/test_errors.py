"""What the texts of Docker and Compose become: real texts, and what their user must read."""

from __future__ import annotations

import pytest

from denzel.backends.docker.errors import explain, explained
from denzel.errors import CommandError, DenzelError, EngineError, PortTaken, ProjectError

TEXTS: list[tuple[str, type[DenzelError], list[str]]] = [
    (
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon "
        "running?",
        EngineError,
        ["No Docker engine answers", "systemctl start docker", "--local"],
    ),
    (
        "Error while fetching server API version: ('Connection aborted.', "
        "FileNotFoundError(2, 'No such file or directory'))",
        EngineError,
        ["No Docker engine answers"],
    ),
    (
        "Error while fetching server API version: ('Connection aborted.', "
        "PermissionError(13, 'Permission denied'))",
        EngineError,
        ["You may not use the Docker engine", "usermod -aG docker"],
    ),
    (
        "permission denied while trying to connect to the Docker daemon socket at "
        'unix:///var/run/docker.sock: Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.45/info": dial '
        "unix /var/run/docker.sock: connect: permission denied",
        EngineError,
        ["You may not use the Docker engine"],
    ),
    (
        "failed to solve: failed to copy files: copy file range failed: no space left on device",
        EngineError,
        ["The disk is full", "docker system prune"],
    ),
    (
        "Error response from daemon: driver failed programming external connectivity on endpoint "
        "shop-api-1 (38c1): Bind for 0.0.0.0:8000 failed: port is already allocated",
        PortTaken,
        ["Port 8000 is taken", "--api-port"],
    ),
    (
        "Error response from daemon: failed to set up container networking: failed to bind host "
        "port for 0.0.0.0:5555:172.18.0.5:5555/tcp: address already in use",
        PortTaken,
        ["Port 5555 is taken"],
    ),
    (
        "Error response from daemon: Ports are not available: exposing port TCP 0.0.0.0:8000 -> "
        "0.0.0.0:0: listen tcp 0.0.0.0:8000: bind: address already in use",
        PortTaken,
        ["Port 8000 is taken"],
    ),
    (
        "Error starting userland proxy: listen tcp4 10.9.9.9:8000: bind: cannot assign requested "
        "address",
        EngineError,
        ["10.9.9.9 is no address of this machine", "API_HOST"],
    ),
    (
        'Error response from daemon: could not select device driver "nvidia" with capabilities: '
        "[[gpu]]",
        EngineError,
        ["no NVIDIA runtime", "NVIDIA Container Toolkit"],
    ),
    (
        "failed to solve: python:3.99: failed to resolve source metadata for "
        "docker.io/library/python:3.99: failed to do request: Head "
        '"https://registry-1.docker.io/v2/library/python/manifests/3.99": dial tcp: lookup '
        "registry-1.docker.io: no such host",
        EngineError,
        ["The image python:3.99 is not on this machine", "BASE_IMAGE"],
    ),
    (
        "Error response from daemon: pull access denied for nobody/none, repository does not "
        "exist or may require 'docker login'",
        EngineError,
        ["The image nobody/none is not on this machine"],
    ),
    (
        "failed to solve: dockerfile parse error on line 43: unknown instruction: FRM",
        EngineError,
        ["could not be built", "line 43", "unknown instruction: FRM", "Correct the Dockerfile"],
    ),
    (
        'failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1',
        EngineError,
        ["could not be built", "exit code: 1"],
    ),
    (
        'Error response from daemon: Conflict. The container name "/shop-api-1" is already in use '
        'by container "8f3b"',
        EngineError,
        ["a container called shop-api-1", "docker rm -f shop-api-1"],
    ),
    (
        "validating /shop/docker-compose.yml: services.api Additional property foo is not allowed",
        ProjectError,
        ["Compose cannot use docker-compose.yml", "Additional property foo"],
    ),
    (
        "some output\nyaml: line 4: did not find expected key",
        ProjectError,
        ["yaml: line 4: did not find expected key"],
    ),
    (
        "env file /shop/.env not found: stat /shop/.env: no such file or directory",
        ProjectError,
        ["env file /shop/.env not found"],
    ),
    (
        "Error response from daemon: something new",
        EngineError,
        ["The Docker engine refused: something new", "denzel doctor"],
    ),
]


@pytest.mark.parametrize(("text", "kind", "words"), TEXTS, ids=[text[:40] for text, *_ in TEXTS])
def test_a_text_becomes_an_error_with_the_next_step(
    text: str, kind: type[DenzelError], words: list[str]
) -> None:
    error = explain(text)
    assert type(error) is kind
    for word in words:
        assert word in str(error)
    assert "\n" not in str(error)


def test_an_unknown_text_has_no_meaning() -> None:
    assert explain("exit status 17") is None


def test_the_image_that_was_asked_for_is_named_when_the_text_does_not() -> None:
    text = 'Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: timeout'
    assert "that a service needs" in str(explain(text))
    assert "The image redis:99 is not" in str(explain(text, image="redis:99"))


def test_a_failed_command_is_raised_as_its_meaning() -> None:
    with pytest.raises(EngineError, match="disk is full") as raised, explained():
        raise CommandError("write /var/lib/docker/x: no space left on device")
    assert isinstance(raised.value.__cause__, CommandError)


def test_a_failed_command_of_unknown_meaning_stays_as_it_is() -> None:
    with pytest.raises(CommandError, match="exit status 17"), explained():
        raise CommandError("exit status 17")
