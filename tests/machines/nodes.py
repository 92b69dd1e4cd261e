"""Machines that are privileged containers, on a network of their own."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from denzel.polling import polls
from engine import docker

NODE_IMAGE = "denzel-test-machine:1"
START_SECONDS = 180
HERE = Path(__file__).parent


class Node:
    """One machine, on which ``program`` runs."""

    def __init__(self, name: str, network: str, *program: str) -> None:
        self.name = name
        volume = "/var/lib/docker" if program[0] == "dockerd" else "/var/lib/containers"
        self._volume = f"{name}-images"
        # No file system of images can lie on a container's own.
        docker(
            "run", "--detach", "--privileged", "--name", name, "--hostname", name,
            "--network", network, "--tmpfs", "/run", "--volume", f"{self._volume}:{volume}",
            NODE_IMAGE, *program,
        )  # fmt: skip
        (found,) = json.loads(docker("inspect", name))
        self.address: str = found["NetworkSettings"]["Networks"][network]["IPAddress"]

    def run(self, *command: str, stdin: bytes = b"") -> str:
        """Run a command on the machine and return what it printed; a failure shows why."""
        done = self.attempt(*command, stdin=stdin)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout.decode()}"
        return done.stdout.decode()

    def attempt(self, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command on the machine; return how it ended, stderr within stdout."""
        return subprocess.run(
            ["docker", "exec", "--interactive", self.name, *command],
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def wait_until(self, *command: str) -> None:
        """Wait until a command succeeds on the machine."""
        for _ in polls(0.2, timeout=START_SECONDS):
            if (done := self.attempt(*command)).returncode == 0:
                return
        raise AssertionError(f"{self.name}: {done.stdout.decode()}")

    def load(self, archive: Path, program: str) -> None:
        """Load images."""
        with archive.open("rb") as file:
            command = ["docker", "exec", "--interactive", self.name, program, "load", "--quiet"]
            subprocess.run(command, stdin=file, check=True, stdout=subprocess.DEVNULL)

    def copy(self, source: Path, target: str) -> None:
        """Copy files of this machine onto it."""
        docker("cp", "--quiet", str(source), f"{self.name}:{target}")

    def kill(self) -> None:
        """Have it lose its power."""
        docker("kill", self.name)

    def start(self) -> None:
        """Switch it on again."""
        docker("start", self.name)
        self.wait_until("docker", "version")

    def remove(self) -> None:
        """Leave nothing of it."""
        docker("rm", "--force", "--volumes", self.name)
        docker("volume", "rm", "--force", self._volume)


def build_node_image() -> None:
    """Make the image that machines run; its packages are Debian's."""
    docker("build", "--quiet", "--tag", NODE_IMAGE, str(HERE))


def build_release_image(project: Path, tag: str) -> None:
    """Make a project's image."""
    docker(
        "buildx", "build", "--quiet", "--load", "--target", "release", "--tag", tag,
        "--secret", f"id=env,src={project / '.env'}", str(project),
    )  # fmt: skip


def load_everywhere(nodes: list[Node], program: str, *images: str) -> None:
    """Copy images of this machine's engine to others, as a registry would."""
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory) / "images.tar"
        docker("save", "--output", str(archive), *images)
        for node in nodes:
            node.load(archive, program)
