"""What the engine's and Compose's error texts mean, and what to do about each.

The only place that knows their wording (Docker 20.10 to 28, Compose 2.20 to 2.40).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from denzel.errors import CommandError, DenzelError, EngineError, PortTaken, ProjectError
from denzel.templates.project.app.runtime.bootstrap.errors import REASON

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

NO_BUILDX = (
    "`denzel build` needs Docker's buildx: install the package docker-buildx-plugin "
    "(https://docs.docker.com/build/install-buildx/)\n{said}"
)
NO_PLATFORM = (
    "This machine's builder does not build for {platform}, but for {known}. Emulation adds others "
    "(https://docs.docker.com/build/building/multi-platform/), or `docker buildx create --use` a "
    "builder on such a machine"
)

KEPT = "the image is on this machine; `denzel build --push` again builds what changed, and pushes"
"""What became of an image that could not be pushed."""

UNNAMED_IMAGE = "that a service needs"

Make = Callable[[re.Match[str]], DenzelError]


def _no_image(found: re.Match[str]) -> DenzelError:
    image = found.groupdict().get("image") or UNNAMED_IMAGE
    return EngineError(
        f"The image {image.removeprefix('docker.io/library/')} is not on this machine and "
        "could not be pulled: is its name in .env (BASE_IMAGE, REDIS_IMAGE, CADDY_IMAGE) right, "
        "and its registry in reach?"
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
    (
        r"target stage \"?release\"? could not be found",
        _says(
            "The Dockerfile has no stage called release; `denzel upgrade` brings denzel's own up "
            "to this version, and shows how to merge it with one that you changed"
        ),
    ),
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


_NOT_ALLOWED = (
    r"unauthorized|authentication required|no basic auth credentials|access to the resource is "
    r"denied|insufficient_scope|authorization failed|denied: |may require 'docker login'|403"
)
_NO_TLS = r"server gave HTTP response to HTTPS client"


def explain_push(error: DenzelError, registry: str, tag: str) -> DenzelError:
    """Return why an image could not be pushed to a registry, and what to do.

    A failure of the build that comes before, for several platforms, stays as it is.
    """
    failure = f"{tag} was not pushed"
    known = _explain_registry(str(error), registry, failure, KEPT)
    if known is None and isinstance(error, CommandError):
        known = EngineError(f"{failure} to {registry}: {_last_line(error.said)}; {KEPT}")
    return known or error


def explain_pull(text: str, registry: str, tag: str) -> EngineError:
    """Return why an image, which is not here, could not be pulled, and what to do."""
    failure = f"{tag} is not on this machine, and could not be pulled"
    if re.search(
        r"manifest unknown|not found: manifest|name unknown|repository .* not found", text
    ):
        return EngineError(
            f"{failure}: {registry} has no such image; `denzel build --tag {tag} --push` makes one"
        )
    known = _explain_registry(text, registry, failure, "")
    return known or EngineError(f"{failure} from {registry}: {_last_line(text)}")


def _explain_registry(text: str, registry: str, failure: str, kept: str) -> EngineError | None:
    kept = f"; {kept}" if kept else ""
    if re.search(_NO_TLS, text):
        return EngineError(
            f"{failure}: {registry} does not speak HTTPS; give it a certificate, or list it in "
            f'"insecure-registries" of the engine\'s daemon.json{kept}'
        )
    if re.search(_NOT_ALLOWED, text):
        host = "" if registry == "docker.io" else f" {registry}"
        return EngineError(
            f"{failure}: {registry} does not allow it to whom this machine is logged in as; run "
            f"`docker login{host}`{kept}"
        )
    if broken := re.search(r"unexpected (?:HTTP )?status: (5\d\d.*)", text):
        return EngineError(
            f"{failure}: {registry} answers {broken[1].strip()}; its disk may be full, and its log "
            f"says more{kept}"
        )
    unreachable = re.search(r"(dial tcp.*|i/o timeout.*|x509: .*|no such host.*|EOF$)", text)
    if unreachable:
        return EngineError(
            f"{failure}: {registry} cannot be reached ({unreachable[0].strip()}); look at its name "
            f"and at the network. Once it is reached, `docker login {registry}` tries it{kept}"
        )
    return None


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def release_failure(text: str) -> str:
    """Return why a step of a build for release failed, in its own words; empty if unknown."""
    found = re.findall(rf"(?m)^(?:#\d+ )?[\d.]+ {re.escape(REASON)}(.*)$", text)
    return found[-1] if found else ""


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
