"""The environment variables that ``docker`` and Compose are run with."""

from __future__ import annotations

from collections.abc import Mapping

from denzel.env_file import PRIVATE, EnvFile, write_atomically
from denzel.project import Project

CLIENT = frozenset((
    "HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "TMPDIR", "USER",
    "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
    "DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTENT_TRUST",
    "DOCKER_CONTEXT", "DOCKER_HOST", "DOCKER_TLS", "DOCKER_TLS_VERIFY",
    "BUILDX_BUILDER", "BUILDX_CONFIG",
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
    "SSL_CERT_DIR", "SSL_CERT_FILE",
))  # fmt: skip
"""What these programs themselves need of the caller's environment: to find and reach the engine and
registries.

Nothing else is handed to them, since Compose would prefer it to ``.env``, or let it change the
services: COMPOSE_FILE, COMPOSE_PROFILES, DOCKER_DEFAULT_PLATFORM, a variable with a setting's name.
Proxies reach the registries, and no service: Compose passes on what ``.env`` sets.
"""


def client_environment(caller: Mapping[str, str], project: Project) -> dict[str, str]:
    """Return what Compose is run with: CLIENT, and the ports that were chosen at launch.

    ``caller`` is the environment of whoever runs denzel.
    """
    environment = {name: value for name, value in caller.items() if name in CLIENT}
    launch = project.launch
    chosen = {"API_PORT": launch.api_port, "MONITOR_PORT": launch.monitor_port}
    return environment | {name: str(port) for name, port in chosen.items() if port is not None}


def build_environment(project: Project) -> dict[str, str]:
    """Return what Compose needs besides to build an image with pip's settings in ``.env.secrets``.

    They go into a file of their own: the build reads ``.env`` otherwise, and no second file, since
    it fails where a file is missing.
    """
    found = EnvFile(project.secrets_file).read(lenient=True)
    lines = [f"{name}={text}\n" for name, text in found.items() if name.startswith("PIP_")]
    if not lines:
        return {}
    project.private.mkdir(mode=0o700, exist_ok=True)
    file = project.private / "build.env"
    settings = project.env_file.read_text(encoding="utf-8")
    write_atomically(file, "".join([settings, "\n", *lines]).encode(), mode=PRIVATE)
    return {"DENZEL_BUILD_SETTINGS": str(file)}


def write_secret_files(project: Project) -> None:
    """Write each secret into a file of its own, which services that run from an image get.

    Those may be read by whoever serves, and lie in a directory that its owner alone may enter.
    entrypoints/redis.sh does the same where there is no denzel.
    """
    found = EnvFile(project.secrets_file).read(lenient=True)
    secrets = {name: text for name, text in found.items() if not name.startswith("PIP_") and text}
    project.private.mkdir(mode=0o700, exist_ok=True)
    directory = project.private / "secrets"
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    for path in directory.iterdir():
        if path.name not in secrets:
            path.unlink()
    for name, text in secrets.items():
        write_atomically(directory / name, text.encode(), mode=0o444)
