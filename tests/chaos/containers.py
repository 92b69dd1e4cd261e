"""A project deployed on a Docker engine, and how its containers are killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from denzel.polling import polls
from denzel.ports import free_port
from denzel.project import Project
from engine import docker, end_deployment
from port_range import FIRST_PORT

from .kills import Kill
from .stage import PIPELINE

COMMAND_SECONDS = 600
READY_SECONDS = 300
RECOVERY_SECONDS = 120
AWAY_SECONDS = 3.0
SERVICES = ("api", "denzel", "callbacks", "redis")


class Containers:
    """A project's containers; ``settings`` go into its ``.env``."""

    def __init__(self, parent: Path, settings: Mapping[str, str]) -> None:
        self.name = f"chaos-{os.getpid()}"
        self.root = parent / self.name
        self._denzel("startproject", self.name, cwd=parent)
        (self.root / "app/logic/pipeline.py").write_text(PIPELINE.read_text())
        self.port = free_port(FIRST_PORT)
        self.monitor_port = free_port(self.port + 1)
        self.url = f"http://127.0.0.1:{self.port}"
        Project(self.root).set_environment(**settings)

    def launch(self) -> None:
        """Build, launch and wait until everything is up."""
        ports = ["--api-port", str(self.port), "--monitor-port", str(self.monitor_port)]
        wait = ["--wait", "--timeout", str(READY_SECONDS)]
        self._denzel("launch", "--docker", *ports, *wait)

    def wait_until_ready(self) -> None:
        """Wait until every line of the status says UP."""
        self._denzel("status", "--wait", "--timeout", str(READY_SECONDS))

    def end(self) -> None:
        """Leave nothing of the deployment."""
        end_deployment(self.name)

    def kill(self, service: str) -> None:
        """Kill a container as its operator may; the engine leaves it so until it is started."""
        docker("kill", self._container(service))

    def start(self, service: str) -> None:
        """Start a container that was killed."""
        docker("start", self._container(service))

    def crash(self, service: str) -> None:
        """Kill every process inside a container; the engine starts it again."""
        command = ["docker", "exec", "--user", "root", self._container(service)]
        subprocess.run([*command, "sh", "-c", "kill -9 -1"], capture_output=True, check=False)

    def _container(self, service: str) -> str:
        return f"{self.name}-{service}-1"

    def _denzel(self, *arguments: str, cwd: Path | None = None) -> None:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("denzel")), *arguments],
            cwd=cwd or self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, done.stdout


def kill_by_turns(
    containers: Containers, count: int, rng: random.Random, works: Callable[[], bool]
) -> list[Kill]:
    """Kill one service after another, by turns both ways; return how long each was missed.

    The next is killed when ``works`` says that the last one has recovered.
    """
    kills = []
    waiting = threading.Event()
    for position in range(count):
        service = SERVICES[position % len(SERVICES)]
        waiting.wait(rng.uniform(0, AWAY_SECONDS))
        killed = time.monotonic()
        if position // len(SERVICES) % 2:
            containers.crash(service)
            kind = f"{service}, crashed"
        else:
            containers.kill(service)
            waiting.wait(rng.uniform(0, AWAY_SECONDS))
            containers.start(service)
            kind = f"{service}, docker kill"
        back = any(works() for _ in polls(0.2, timeout=RECOVERY_SECONDS))
        kills.append(Kill(kind, killed, time.monotonic() - killed if back else None))
    return kills
