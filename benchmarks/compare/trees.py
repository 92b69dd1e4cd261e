"""A checkout of denzel as a side: its template's services, started by hand on their own Redis.

The commands are read from the template's entrypoints, so a checkout may keep its modules where
it likes.  What the entrypoints do before them (virtual environment, packages) is left out: an
environment with the checkout's pins is made once and kept.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from benchmarks import commands
from benchmarks.environments import MODEL_REQUIREMENTS, RUNTIME, installed
from benchmarks.errors import BenchmarkError
from benchmarks.processes import MARK_VARIABLE, find_processes
from benchmarks.redis_client import RedisServer
from benchmarks.sides import FIRST_PORT, Job, Running, await_first_answer, lay_out
from denzel.backends.local.redis_server import find_redis_server, redis_config
from denzel.polling import polls
from denzel.ports import free_port

TEMPLATE = Path("denzel") / "templates" / "project"
SERVICES = ("api", "callbacks", "denzel", "monitor")
"""Those of a deployment's services that are denzel's own."""
RUNS_MODULE = ("-m", "app/runtime/start.py")
"""What stands before the name of the module that an entrypoint runs."""
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")
REDIS_SECONDS = 20.0
GONE_SECONDS = 5.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Tree:
    """A checkout of denzel."""

    root: Path

    @property
    def template(self) -> Path:
        """The project that ``startproject`` copies."""
        return self.root / TEMPLATE

    def check(self) -> None:
        """Raise BenchmarkError unless this is a checkout of denzel whose services are known."""
        if not (self.template / "entrypoints").is_dir():
            raise BenchmarkError(f"{self.root} is no checkout of denzel: it has no {TEMPLATE}")
        self.services()

    def services(self) -> dict[str, list[str]]:
        """Return each service's command, by the name of its entrypoint."""
        scripts = [self.template / "entrypoints" / f"{name}.sh" for name in SERVICES]
        return {each.stem: entrypoint_command(each.read_text("utf-8"), each) for each in scripts}

    def version(self) -> str:
        """Return the commit, marked when files differ from it; "unknown" outside of git."""
        argv = ["git", "-C", str(self.root), "describe", "--always", "--dirty", "--abbrev=10"]
        try:
            return commands.run(argv, timeout=30).strip()
        except (BenchmarkError, OSError):
            return "unknown"

    def environment(self, cache: Path, model: Path = MODEL_REQUIREMENTS) -> Path:
        """Return a virtual environment with the runtime's pins and the model's libraries."""
        requirements = self.template / "app" / "runtime" / "requirements.txt"
        return installed(RUNTIME, [requirements, model], cache)

    @contextmanager
    def started(self, job: Job, *, batches: bool, settings: Mapping[str, str]) -> Iterator[Running]:
        """Run all services on an empty Redis, as `denzel launch --local` would.

        The response mode, and every setting that is not given, is the product's default.
        """
        bin_directory = self.environment(job.cache, job.workload.requirements) / "bin"
        shutil.copytree(
            self.template, job.root, dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
        )  # fmt: skip
        lay_out(job)
        source = job.workload.source(batches=batches)
        (job.root / "app" / "logic" / "pipeline.py").write_text(source, encoding="utf-8")
        port, mark = free_port(FIRST_PORT), uuid4().hex
        env = {
            **_environment(job, port, bin_directory, mark), **job.workload.settings, **settings
        }  # fmt: skip
        with ExitStack() as stack:
            stack.callback(_end_all, mark)
            started = time.monotonic()
            _start_redis(job.root, env, stack)
            children = {
                name: stack.enter_context(
                    commands.running(
                        [str(bin_directory / command[0]), *command[1:]],
                        cwd=job.root, env=env, log=job.root / "logs" / f"{name}.output",
                    )
                )
                for name, command in self.services().items()
            }  # fmt: skip

            def dead() -> str | None:
                ended = [name for name, child in children.items() if child.poll() is not None]
                return _outputs(job.root, ended) if ended else None

            seconds = await_first_answer(job.workload, port, started, dead)
            yield Running(port, mark, seconds, job.root)
            if reason := dead():
                raise BenchmarkError(f"A service ended under load:\n{reason}")
            for child in children.values():  # all at once, or each would take its time
                child.terminate()


def entrypoint_command(script: str, where: Path) -> list[str]:
    """Return the service's own command: what follows bootstrap's module, options and service.

    Raises BenchmarkError when the script's last command does not look like that.
    """
    lines = script.replace("\\\n", " ").splitlines()
    starts = [line for line in lines if line.startswith("exec ")]
    words = shlex.split(starts[-1], comments=True) if starts else []
    modules = [place + 1 for place, word in enumerate(words) if word in RUNS_MODULE]
    if modules:
        rest = words[modules[0] + 1 :]
        while rest and rest[0].startswith("--"):
            rest = rest[1:]
        command = [word for word in rest[1:] if word != "--"]
        if command:
            return command
    raise BenchmarkError(f"{where} has no `exec … BOOTSTRAP [OPTION…] SERVICE COMMAND…`")


def _environment(job: Job, port: int, bin_directory: Path, mark: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        **inherited,
        "PATH": os.pathsep.join([str(bin_directory), inherited.get("PATH", os.defpath)]),
        "PYTHONPATH": ".",
        "PYTHONUNBUFFERED": "1",
        "PROJECT_NAME": "bench",
        "API_HOST": "127.0.0.1",
        "API_PORT": str(port),
        "MONITOR_PORT": str(free_port(port + 1)),
        "REDIS_URL": f"unix://{job.root / 'redis.sock'}",
        "DENZEL_BACKEND": "local",
        "DENZEL_RUN_DIR": str(job.root / ".denzel" / "run"),
        MARK_VARIABLE: mark,
    }


def _start_redis(root: Path, env: dict[str, str], stack: ExitStack) -> None:
    """Run Redis with the local backend's settings, the same for every version."""
    socket_path = root / "redis.sock"
    (root / ".denzel" / "redis").mkdir(parents=True)
    (root / ".denzel" / "run").mkdir()
    config = root / "redis.conf"
    config.write_text(
        redis_config(socket_path=socket_path, max_memory="2gb", fsync="always", password=""),
        encoding="utf-8",
    )
    argv = [str(find_redis_server()), str(config)]
    log = root / "logs" / "redis.output"
    log.parent.mkdir(exist_ok=True)
    stack.enter_context(commands.running(argv, cwd=root, env=env, log=log))
    for _ in polls(POLL_SECONDS, timeout=REDIS_SECONDS):
        if RedisServer(socket_path).answers():
            return
    raise BenchmarkError(f"Redis does not answer:\n{_outputs(root, ['redis'])}")


def _outputs(root: Path, services: list[str]) -> str:
    files = [(name, root / "logs" / f"{name}.output") for name in services]
    return "\n".join(
        f"--- {name} ---\n{commands.tail(file.read_text(errors='replace'))}" for name, file in files
    )


def _end_all(mark: str) -> None:
    """End whatever of a deployment is still there; its data is not needed any more."""
    for _ in polls(POLL_SECONDS, timeout=GONE_SECONDS):
        left = find_processes(mark)
        if not left:
            return
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
