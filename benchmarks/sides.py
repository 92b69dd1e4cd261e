"""The servers compared, and how each is started, asked for its first answer, and ended."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from benchmarks import commands
from benchmarks.environments import RUNTIME, environment
from benchmarks.errors import BenchmarkError
from benchmarks.http_client import ask
from benchmarks.processes import MARK_VARIABLE, find_processes
from benchmarks.redis_client import RedisServer
from benchmarks.workloads import Workload
from denzel.backends.local.redis_server import find_redis_server
from denzel.polling import polls
from denzel.ports import free_port
from denzel.templates import TEMPLATES

SERVERS = Path(__file__).parent / "servers"
FIRST_PORT = 21000
FIRST_ANSWER_SECONDS = 120.0
POLL_SECONDS = 0.02
GUNICORN_OPTIONS = (
    "--workers", "1", "--backlog", "4096", "--keep-alive", "75", "--no-control-socket",
)  # fmt: skip


TITLES = {
    "denzel-batch": "denzel with predict_batch",
    "denzel": "denzel",
    "denzel-everysec": "denzel, REDIS_FSYNC=everysec",
    "fastapi": "FastAPI, 1 worker, inline",
    "fastapi-batch": "FastAPI with batches",
    "litserve": "LitServe",
    "litserve-batch": "LitServe with batches",
    "mosec": "Mosec",
    "mosec-batch": "Mosec with batches",
    "falcon": "floor: Falcon, a constant",
    "celery": "floor: one Celery task a request",
}
"""Every side by its name; the floors show what is possible, or what is to be avoided."""
PEERS = ("fastapi", "litserve", "mosec")


@dataclass(frozen=True)
class Batching:
    """How the sides that predict in batches do: at most ``size`` requests, waited for ``wait`` s.

    denzel takes the size alone: it waits for nothing.
    """

    size: int
    wait: float


@dataclass(frozen=True)
class Running:
    """A server that has given its first right answer, ``start_seconds`` after it was started."""

    port: int
    mark: str
    start_seconds: float
    root: Path

    @property
    def url(self) -> str:
        """Where it takes predictions."""
        return f"http://127.0.0.1:{self.port}/predict"

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return find_processes(self.mark)


@dataclass(frozen=True)
class Job:
    """What a side is started for: the workload, and a directory laid out like a project."""

    workload: Workload
    batching: Batching
    root: Path
    cache: Path

    @property
    def body_file(self) -> Path:
        """The request's body, for the load generators."""
        return self.root / "request.json"


StartSide = Callable[[Job], AbstractContextManager[Running]]


def lay_out(job: Job) -> None:
    """Write the pipeline, its assets and the answer where the servers look for them."""
    logic, assets = job.root / "app" / "logic", job.root / "app" / "assets"
    for directory in (logic, assets):
        directory.mkdir(parents=True, exist_ok=True)
    for package in (logic.parent, logic):
        (package / "__init__.py").touch()
    shutil.copy(job.workload.pipeline, logic / "pipeline.py")
    for asset in job.workload.assets:
        shutil.copy(asset, assets)
    (job.root / "answer.json").write_text(json.dumps(job.workload.answer), encoding="utf-8")


def await_first_answer(
    workload: Workload, port: int, started: float, dead: Callable[[], str | None]
) -> float:
    """Return the seconds from ``started`` to the first right answer.

    ``dead`` tells why there will be none, or None.  Raises BenchmarkError in that case, for a
    wrong answer, and when none comes in time.
    """
    seen: object = None
    headers = {"Content-Type": workload.content_type}
    for _ in polls(POLL_SECONDS, timeout=FIRST_ANSWER_SECONDS):
        status, seen = ask(port, "POST", "/predict", workload.body, headers)
        if status == 200:
            if seen != workload.answer:
                raise BenchmarkError(f"A wrong answer: {str(seen)[:200]}")
            return time.monotonic() - started
        if 400 <= status < 500:
            raise BenchmarkError(f"The request was refused: {status} {str(seen)[:200]}")
        reason = dead()
        if reason is not None:
            raise BenchmarkError(f"The server ended:\n{reason}")
    raise BenchmarkError(f"No answer within {FIRST_ANSWER_SECONDS:g} s; the last was {seen}")


def peer(name: str, *, batches: bool, options: Sequence[str] = ()) -> StartSide:
    """Return how the server ``servers/serve_NAME.py`` is started in its own environment.

    ``options`` are what that script takes besides.
    """

    def commands_of(job: Job, port: int, bin_directory: Path) -> list[list[str]]:
        size = job.batching.size if batches else 1
        script = SERVERS / f"serve_{name}.py"
        wait = job.batching.wait if batches else 0.0
        python = str(bin_directory / "python")
        return [[python, str(script), str(port), str(size), str(wait), *options]]

    return _started(name, commands_of)


def falcon_floor(job: Job, port: int, bin_directory: Path) -> list[list[str]]:
    """Return the command of denzel's own HTTP server with a constant behind it."""
    shutil.copytree(TEMPLATES / "project" / "app" / "runtime", job.root / "app" / "runtime")
    return [
        [
            str(bin_directory / "gunicorn"), "--config", "app/runtime/api/server/gunicorn_conf.py",
            "--bind", f"127.0.0.1:{port}", "--workers", "1", "serve_constant:create_app()",
        ]
    ]  # fmt: skip


def celery_floor(job: Job, port: int, bin_directory: Path) -> list[list[str]]:
    """Return the commands of a Celery worker and of the Falcon application that waits for it."""
    worker = [
        str(bin_directory / "celery"), "--app", "serve_task:celery_app", "worker",
        "--loglevel", "warning",
    ]  # fmt: skip
    api = [
        str(bin_directory / "gunicorn"), "--worker-class", "gthread", "--threads", "128",
        "--worker-connections", "2000", "--bind", f"127.0.0.1:{port}", *GUNICORN_OPTIONS,
        "serve_task:create_app()",
    ]  # fmt: skip
    return [worker, api]


def nothing() -> StartSide:
    """Return how a server is started that does nothing but answer, to measure the generators."""

    def commands_of(job: Job, port: int, bin_directory: Path) -> list[list[str]]:
        return [[str(bin_directory / "python"), str(SERVERS / "serve_nothing.py"), str(port)]]

    return _started(RUNTIME, commands_of)


def _started(
    name: str,
    commands_of: Callable[[Job, int, Path], list[list[str]]],
    *,
    needs_redis: bool = False,
) -> StartSide:
    """Return how a side whose programs run in the environment ``name`` is started."""

    @contextmanager
    def start(job: Job) -> Iterator[Running]:
        bin_directory = environment(name, job.cache, job.workload.requirements) / "bin"
        lay_out(job)
        port, mark = free_port(FIRST_PORT), uuid4().hex
        log = job.root / "server.log"
        env = server_environment(job.root, mark)
        with ExitStack() as stack:
            started = time.monotonic()
            if needs_redis:
                stack.enter_context(redis_server(job.root, env))
            children = [
                stack.enter_context(commands.running(argv, cwd=job.root, env=env, log=log))
                for argv in commands_of(job, port, bin_directory)
            ]

            def dead() -> str | None:
                ended = any(child.poll() is not None for child in children)
                return commands.tail(log.read_text(errors="replace")) if ended else None

            seconds = await_first_answer(job.workload, port, started, dead)
            yield Running(port, mark, seconds, job.root)

    return start


def server_environment(root: Path, mark: str) -> dict[str, str]:
    """Return the environment of the programs that serve the pipeline in ``root``."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and name != "VIRTUAL_ENV"
    }
    return {
        **inherited,
        "PYTHONPATH": f"{root}{os.pathsep}{SERVERS}",
        "REDIS_SOCKET": str(root / "redis.sock"),
        MARK_VARIABLE: mark,
    }


@contextmanager
def redis_server(root: Path, env: dict[str, str]) -> Iterator[Path]:
    """Run Redis as durable as denzel's local backend has it; give its unix socket."""
    socket_path = root / "redis.sock"
    argv = [str(find_redis_server()), "--port", "0", "--unixsocket", str(socket_path)]
    argv += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    with commands.running(argv, cwd=root, env=env, log=root / "redis.log"):
        for _ in polls(POLL_SECONDS, timeout=FIRST_ANSWER_SECONDS):
            if RedisServer(socket_path).answers():
                break
        else:
            raise BenchmarkError(f"Redis does not answer; see {root / 'redis.log'}")
        yield socket_path


def peer_sides() -> dict[str, StartSide]:
    """Return how every side but denzel is started."""
    starts = {}
    for name in PEERS:
        starts[name] = peer(name, batches=False)
        starts[f"{name}-batch"] = peer(name, batches=True)
    starts["falcon"] = _started(RUNTIME, falcon_floor)
    starts["celery"] = _started(RUNTIME, celery_floor, needs_redis=True)
    return starts
