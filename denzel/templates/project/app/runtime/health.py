"""Whether a service that says UP works: its heartbeat, its port, and Redis.

The module ``app.runtime.health SERVICE`` is the containers' health check: it exits with 0 when the
service works, and else prints what is wrong and exits with 1.  Without a service it prints
the state of each service that has one in ``$DENZEL_RUN_DIR``, as ``denzel status`` reads them.
``app.runtime.health --live SERVICE`` fails only where a new start would help: the service hangs
although Redis answers.  A Kubernetes liveness probe asks that.  ``--without-redis SERVICE`` is the
health check, except that a service which waits for Redis is well: a Swarm ends what is not.

It starts every few seconds in every container, so it uses little of the standard library; and
relative imports alone, since ``denzel`` asks about local processes by the same functions.
"""

from __future__ import annotations

import json
import math
import socket
import sys
from pathlib import Path

from . import state
from .hosts import authority
from .redis_socket import RedisConnection
from .resp import RedisRefused
from .settings import RedisAddress, Settings, load_settings

BEAT_SECONDS = 15.0
"""A heartbeat comes every second or two; a machine under load may delay one by some seconds."""
REDIS_SECONDS = 2.0
HTTP_SECONDS = 4.0
NO_REDIS = "Redis does not answer"

SPEAKS_TO_REDIS = ("api", "denzel", "callbacks")
BEATS = {"denzel": state.WORKER, "callbacks": "callbacks"}
"""Whose heartbeat a service lives by."""
PATHS = {"api": "/health/live", "monitor": "/healthcheck"}
"""What a service is asked at its port."""
ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where a service that listens on every address is asked."""


def examine(settings: Settings, *, needs_redis: bool = True) -> dict[str, tuple[str, str]]:
    """Return state and detail of each service that has recorded one.

    UP becomes ERROR where the service does not work; other states are as they were recorded.
    Without ``needs_redis`` a service works that has nothing but Redis amiss.
    """
    directory = Path(settings.denzel_run_dir)
    found = {path.stem: state.read_state(path) for path in sorted(directory.glob("[!.]*.json"))}
    up = [name for name, (recorded, _) in found.items() if recorded == state.UP]
    no_redis = ""
    if {*up} & {*SPEAKS_TO_REDIS} or settings.redis_url:
        redis = redis_state(settings.redis)
        no_redis = NO_REDIS if redis[0] == state.DOWN else redis[1]
        if settings.redis_url:  # then it is no service of denzel's that could tell by itself
            found["redis"] = redis
    for name in up:
        if no_redis and not needs_redis and name in BEATS:
            continue  # its heartbeats wait for Redis, too
        if problem := _problem(name, settings, no_redis if needs_redis else ""):
            found[name] = (state.ERROR, problem)
    return found


def _problem(service: str, settings: Settings, no_redis: str) -> str:
    """Return why a service that says UP does not work; empty when it does."""
    if no_redis and service in SPEAKS_TO_REDIS:
        return no_redis
    if service in BEATS:
        return _beat_problem(Path(settings.denzel_run_dir) / f"{BEATS[service]}.beat")
    if service == "api":
        return http_problem(settings.api_host, settings.api_port, PATHS[service])
    if service == "monitor":
        return http_problem(settings.monitor_host, settings.monitor_port, PATHS[service])
    return ""


def _beat_problem(path: Path) -> str:
    """Return what the last heartbeat says; a project that knows of none is what its state says."""
    age = state.seconds_since_beat(path)
    if age is None or age <= BEAT_SECONDS:
        return ""
    since = f" for {age:.0f} s" if math.isfinite(age) else ""
    return f"hangs: it has given no heartbeat{since}; `denzel restart` starts it anew"


def http_problem(host: str, port: int, path: str) -> str:
    """Return why ``GET path`` gets no answer; any answer but a server's error will do."""
    host = ANY_ADDRESS.get(host, host)
    request = f"GET {path} HTTP/1.1\r\nHost: {authority(host, port)}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, port), timeout=HTTP_SECONDS) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as answer:
                status_line = answer.readline(200).decode("latin-1").split(None, 2)
    except OSError:
        return f"does not answer on port {port}"
    if len(status_line) < 2 or not status_line[1].isdigit() or int(status_line[1]) >= 500:
        return f"answers {' '.join(status_line[1:]) or 'nothing'} on port {port}".rstrip()
    return ""


def redis_state(address: RedisAddress) -> tuple[str, str]:
    """Return whether Redis serves this deployment: UP, DOWN or ERROR, and the reason."""
    try:
        with RedisConnection(address, REDIS_SECONDS) as connection:
            connection.ask("PING")
    except RedisRefused as error:
        return state.ERROR, f"Redis answers {error}"
    except OSError as error:
        return state.DOWN, f"{address} cannot be reached: {error}"
    return state.UP, ""


def hang(settings: Settings, service: str) -> str:
    """Return how long a service that has heartbeats has given none although Redis answers."""
    directory = Path(settings.denzel_run_dir)
    name = BEATS[service]
    if state.read_state(directory / f"{name}.json")[0] != state.UP:
        return ""
    problem = _beat_problem(directory / f"{name}.beat")
    return "" if problem and redis_state(settings.redis)[0] != state.UP else problem


def main(arguments: list[str]) -> int:
    """Check one service, or print the states of all."""
    settings = load_settings()
    if arguments[:1] == ["--live"]:
        if problem := hang(settings, arguments[1]):
            print(f"{arguments[1]} {problem}")
        return int(bool(problem))
    needs_redis = arguments[:1] != ["--without-redis"]
    found = examine(settings, needs_redis=needs_redis)
    if not arguments:
        for name, (shown, detail) in found.items():
            file = Path(settings.denzel_run_dir) / f"{name}.json"
            record = {**state.read_record(file), "state": shown, "detail": detail}
            print(f"{file}:{json.dumps(record)}")
        return 0
    service = arguments[-1]
    # The service denzel is well when its worker has the model.
    wanted = [service, state.WORKER] if service == "denzel" else [service]
    for name in wanted:
        shown, detail = found.get(name, (state.DOWN, ""))
        if shown != state.UP:
            print(f"{name} is {shown} {detail}".rstrip())
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
