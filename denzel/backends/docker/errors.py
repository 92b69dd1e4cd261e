"""What the engine's and Compose's error texts mean, and what to do about each.

The only place that knows their wording (Docker 20.10 to 28, Compose 2.20 to 2.40).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from denzel.errors import CommandError, DenzelError, EngineError, PortTaken, ProjectError

NO_ENGINE = (
    "No Docker engine answers; start it (`sudo systemctl start docker`, or Docker Desktop), "
    "install one (https://docs.docker.com/engine/install/), or run without Docker: "
    "`denzel launch --local`"
)
NO_PERMISSION = (
    "You may not use the Docker engine; join its group (`sudo usermod -aG docker $USER`, then "
    "log in again), or run without Docker: `denzel launch --local`"
)
DISK_FULL = (
    "The disk is full; `docker system df` shows what Docker uses of it, `docker system prune` "
    "frees what nothing needs"
)
NO_GPU = (
    "This Docker engine has no NVIDIA runtime, which GPU=1 in .env needs; install the NVIDIA "
    "Container Toolkit and restart Docker "
    "(https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/), or start the project "
    "without --gpu"
)

UNNAMED_IMAGE = "that a service needs"

Make = Callable[[re.Match[str]], DenzelError]


def _no_image(found: re.Match[str]) -> DenzelError:
    image = found.groupdict().get("image") or UNNAMED_IMAGE
    return EngineError(
        f"The image {image.removeprefix('docker.io/library/')} is not on this machine and "
        "could not be pulled: is its name in .env (BASE_IMAGE, REDIS_IMAGE) right, and its "
        "registry in reach?"
    )


def _port_taken(found: re.Match[str]) -> DenzelError:
    return PortTaken(
        f"Port {found['port']} is taken by another container or program; choose another one: "
        "`denzel launch --api-port PORT --monitor-port PORT`"
    )


def _no_address(found: re.Match[str]) -> DenzelError:
    return EngineError(
        f"{found['address']} is no address of this machine; correct API_HOST or MONITOR_HOST in "
        ".env (empty API_HOST: every address)"
    )


def _build_failed(found: re.Match[str]) -> DenzelError:
    return EngineError(
        f"The image could not be built: {found['reason'].strip()}. Correct the Dockerfile and "
        "run `denzel launch` again"
    )


def _bad_file(found: re.Match[str]) -> DenzelError:
    return ProjectError(
        f"Compose cannot use docker-compose.yml and .env as they are: {found[0].strip()}"
    )


def _name_taken(found: re.Match[str]) -> DenzelError:
    return EngineError(
        f"There is a container called {found['name']} already that is not this project's; "
        f"remove it (`docker rm -f {found['name']}`), or choose another PROJECT_NAME in .env"
    )


def _refused(found: re.Match[str]) -> DenzelError:
    return EngineError(
        f"The Docker engine refused: {found['reason'].strip()}. `denzel doctor` looks for what "
        "is wrong with it"
    )


def _says(message: str) -> Make:
    return lambda _: EngineError(message)


_MEANINGS: tuple[tuple[str, Make], ...] = (
    (r"no space left on device|disk quota exceeded", _says(DISK_FULL)),
    (
        r"permission denied while trying to connect|PermissionError\(13|connect: permission denied",
        _says(NO_PERMISSION),
    ),
    (
        r"Cannot connect to the Docker daemon|Is the docker daemon running|error during connect"
        r"|failed to connect to the docker API|FileNotFoundError\(2|ConnectionRefusedError\("
        r"|Error while fetching server API version",
        _says(NO_ENGINE),
    ),
    (
        r"could not select device driver|unknown or invalid runtime name: nvidia"
        r"|nvidia-container-cli: initialization error",
        _says(NO_GPU),
    ),
    (
        r"(?:Bind for|exposing port TCP|failed to bind host port(?: for)?|listen tcp[46]?:?)"
        r" \S*?:(?P<port>\d+)\b.*(?:already|in use|not available)",
        _port_taken,
    ),
    (
        r"listen tcp[46]? (?P<address>\S+):\d+: bind: cannot assign requested address",
        _no_address,
    ),
    (r"[Cc]ontainer name \"/?(?P<name>[^\"]+)\" is already in use", _name_taken),
    (r"(?P<reason>dockerfile parse error.*)", _build_failed),
    (
        r"(?:failed to resolve source metadata for|failed to resolve reference|manifest for"
        r"|pull access denied for|No such image:) \"?(?P<image>[^\s,\"]*[^\s,\":])",
        _no_image,
    ),
    (r"Get \"https?://[^\"]*/v2/[^\"]*\"|manifest unknown", _no_image),
    (r"failed to solve:(?P<reason>.*)", _build_failed),
    (
        r"(?m)^(?:yaml: .*|validating .*|invalid interpolation .*|env file .* not found.*"
        r"|.*(?:undefined (?:service|volume|secret)|[Aa]dditional propert).*"
        r"|no configuration file provided.*|invalid (?:spec|containerPort|(?i:ip) address).*)$",
        _bad_file,
    ),
    (r"Error response from daemon: (?P<reason>.*)", _refused),
)


def explain(text: str, *, image: str = "") -> DenzelError | None:
    """Return what an error text of Docker or Compose means; None when it is not known.

    ``image`` is the one that was asked for; not every text names it.
    """
    if image:
        text = text.replace('Get "', f'pull access denied for {image}: Get "')
    for pattern, make in _MEANINGS:
        found = re.search(pattern, text)
        if found:
            return make(found)
    return None


def is_network_gone(error: DenzelError) -> bool:
    """Tell whether a container was not started since its network was removed meanwhile."""
    return re.search(r"network \S+ not found", str(error)) is not None


@contextmanager
def explained(*, image: str = "") -> Iterator[None]:
    """Raise a failed command of Docker's or Compose's as what it means, if that is known."""
    try:
        yield
    except CommandError as error:
        meaning = explain(str(error), image=image)
        if meaning is None:
            raise
        raise meaning from error
