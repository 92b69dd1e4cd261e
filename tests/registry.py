"""A registry of images on this machine: Debian's docker-registry."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from denzel.polling import polls
from denzel.ports import free_port
from port_range import FIRST_PORT

PROGRAM = "docker-registry"
READY_SECONDS = 30
SOMEBODY = "somebody:$2y$05$" + "a" * 53
"""A line of an htpasswd file; nobody logs in with it."""


@contextmanager
def registry(directory: Path, *, closed: bool = False) -> Iterator[str]:
    """Run a registry that keeps its images in ``directory``; yield its host and port.

    A ``closed`` one lets nobody in who has not logged in.
    """
    if not shutil.which(PROGRAM):
        pytest.skip(f"{PROGRAM} is not installed")
    directory.mkdir()
    host = f"127.0.0.1:{free_port(FIRST_PORT)}"
    access = f"auth: {{htpasswd: {{realm: test, path: {directory}/users}}}}\n" if closed else ""
    (directory / "users").write_text(SOMEBODY + "\n")
    (directory / "config.yml").write_text(
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {directory}/images}}}}\n"
        f"http: {{addr: '{host}'}}\n" + access
    )
    with (directory / "log").open("w") as log:
        child = subprocess.Popen(
            [PROGRAM, "serve", str(directory / "config.yml")], stdout=log, stderr=log
        )
    try:
        name, port = host.split(":")
        for _ in polls(0.1, timeout=READY_SECONDS):
            with socket.socket() as tried:
                if tried.connect_ex((name, int(port))) == 0:
                    break
        else:
            pytest.fail((directory / "log").read_text())
        yield host
    finally:
        child.terminate()
        child.wait()
