"""denzel itself, driven by its own command: one project, given one pipeline after the other."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from benchmarks import commands
from benchmarks.errors import BenchmarkError
from benchmarks.processes import MARK_VARIABLE, find_processes
from benchmarks.redis_client import RedisServer
from benchmarks.sides import FIRST_PORT, Job, Running, await_first_answer
from denzel.backends.local.layout import Layout
from denzel.errors import DenzelError
from denzel.polling import polls
from denzel.ports import free_port
from denzel.project import Project

NAME = "bench"
LAUNCH_SECONDS = 1200.0
SHUTDOWN_SECONDS = 120.0
GONE_SECONDS = 10.0
POLL_SECONDS = 0.1
REMEDY = "`python3 -m pip install '.[local]'` in a clone of denzel"


class Deployment:
    """A denzel project in ``directory``; its packages are installed by its first launch."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / NAME
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        self._denzel = commands.find_program("denzel", REMEDY, path)

    def start(self, *, batches: bool, settings: Mapping[str, str] | None = None) -> _Start:
        """Return how the project is launched with a job's pipeline, and lines of ``.env``."""
        return _Start(self, batches, settings or {})

    @property
    def redis(self) -> RedisServer:
        """The running project's Redis."""
        project = Project(self.root)
        return RedisServer(Layout.of(project).redis_socket, project.settings.redis_password)

    def create(self) -> None:
        """Make the project, and let it install its packages, which later launches find."""
        self._run("startproject", NAME, "--example", "iris", cwd=self.root.parent)
        with self.launched():
            pass

    def scale(self, workers: int) -> None:
        """Have the running project go on with so many workers."""
        self._run("scale", f"denzel={workers}", "--wait")

    @contextmanager
    def launched(self) -> Iterator[tuple[int, str]]:
        """Launch the project with an empty Redis; give the API's port and the processes' mark."""
        mark = uuid4().hex
        api_port = free_port(FIRST_PORT)
        monitor_port = free_port(api_port + 1)
        shutil.rmtree(Layout.of(Project(self.root)).redis_data, ignore_errors=True)
        # Services get nothing of this process's environment, but what .env names.
        Project(self.root).set_environment(**{MARK_VARIABLE: mark})
        try:
            self._run(
                "launch", "--local", "--api-port", str(api_port),
                "--monitor-port", str(monitor_port), "--wait", "--timeout", str(LAUNCH_SECONDS),
            )  # fmt: skip
            yield api_port, mark
        finally:
            self._run("shutdown")
            for _ in polls(POLL_SECONDS, timeout=GONE_SECONDS):
                left = find_processes(mark)
                if not left:
                    break
            else:
                raise BenchmarkError(f"`denzel shutdown` left processes running: {left}")

    def set_pipeline(self, job: Job, settings: Mapping[str, str], *, batches: bool) -> None:
        """Write the job's pipeline and settings."""
        source = job.workload.source(batches=batches)
        (self.root / "app" / "logic" / "pipeline.py").write_text(source, encoding="utf-8")
        values = {
            "WORKER_CONCURRENCY": "auto",
            "BATCH_MAX_SIZE": str(job.batching.size),
            "REDIS_FSYNC": "always",
            **job.workload.settings,
            **settings,
        }
        env_file = self.root / ".env"
        text = env_file.read_text(encoding="utf-8")
        for name, value in values.items():
            text = re.sub(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        env_file.write_text(text, encoding="utf-8")

    def _run(self, *arguments: str, cwd: Path | None = None) -> None:
        env = {**os.environ, "NO_COLOR": "1"}
        seconds = LAUNCH_SECONDS if arguments[0] == "launch" else SHUTDOWN_SECONDS
        commands.run(
            [self._denzel, *arguments], cwd=cwd or self.root, env=env, timeout=seconds + 60
        )


class _Start:
    """Starts denzel for one job; made by :meth:`Deployment.start`."""

    def __init__(self, deployment: Deployment, batches: bool, settings: Mapping[str, str]) -> None:
        self._deployment = deployment
        self._batches = batches
        self._settings = settings

    @contextmanager
    def __call__(self, job: Job) -> Iterator[Running]:
        deployment = self._deployment
        try:
            if not deployment.root.exists():
                deployment.create()
            deployment.set_pipeline(job, self._settings, batches=self._batches)
            started = time.monotonic()
            with deployment.launched() as (port, mark):
                seconds = await_first_answer(job.workload, port, started, lambda: None)
                yield Running(port, mark, seconds, deployment.root)
        except DenzelError as error:
            raise BenchmarkError(str(error)) from error
