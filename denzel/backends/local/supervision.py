"""supervisord: its configuration, and talking to it over its unix socket."""

from __future__ import annotations

import http.client
import re
import socket
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from denzel.errors import ServiceError
from denzel.services import replica_name

ANSWER_SECONDS = 10.0
SHUTDOWN_STATE, NOT_RUNNING = 6, 70
"""Fault codes of supervisor's XML-RPC (supervisor/xmlrpc.py, Faults)."""
UNSUPERVISED = "UNSUPERVISED"
"""A process state of ours beside supervisor's: the program runs, its supervisord is gone."""
LOG_TAIL_BYTES = 64 * 1024
SOCKET_VARIABLE = "DENZEL_SUPERVISOR_SOCKET"
REDIS_VARIABLE = "DENZEL_REDIS_SERVER"
REDIS_CONFIG_VARIABLE = "DENZEL_REDIS_CONFIG"

CONFIG = """\
; Written by denzel; gone after `denzel shutdown`. Programs inherit supervisord's environment,
; which holds every path, so that no value from outside needs quoting in here.
[unix_http_server]
file=%(ENV_DENZEL_SUPERVISOR_SOCKET)s
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
logfile={private}/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile={private}/run/supervisord.pid
"""

PROGRAM = """
[program:{name}]
command={command}
priority={priority}
autorestart=true
; A program that ends sooner has crashed at start: it is started again after 1 s, 2 s, 3 s ...
startsecs=20
startretries=1000
stopwaitsecs={stop_seconds}
; The first signal goes to the program alone, which ends its own processes in good order.
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


@dataclass(frozen=True)
class Program:
    """One program that supervisord runs; it has ``stop_seconds`` to end before it is killed."""

    name: str
    command: str
    priority: int
    stop_seconds: int


PROGRAMS: tuple[Program, ...] = (
    Program("redis", f'bash -c \'exec "${REDIS_VARIABLE}" "${REDIS_CONFIG_VARIABLE}"\'', 1, 15),
    Program("api", "bash entrypoints/api.sh", 10, 15),
    Program("denzel", "bash entrypoints/denzel.sh", 10, 30),
    Program("callbacks", "bash entrypoints/callbacks.sh", 10, 40),
    Program("monitor", "bash entrypoints/monitor.sh", 10, 10),
)
"""In the order they are started; they are stopped in the reverse order."""


def replicated(programs: Sequence[Program], replicas: Mapping[str, int]) -> tuple[Program, ...]:
    """Return programs, those of services in ``replicas`` so many times.

    Those of the API share their port.
    """
    return tuple(
        _replica(program, number, shares_port=program.name == "api" and count > 1)
        for program in programs
        for count in [replicas.get(program.name, 1)]
        for number in range(1, count + 1)
    )


def _replica(program: Program, number: int, *, shares_port: bool) -> Program:
    """Return a program as a replica of its service, with a run directory of its own."""
    variables = ["API_SHARES_PORT=1"] if shares_port else []
    name = replica_name(program.name, number)
    if number > 1:
        variables += [f"DENZEL_REPLICA={number}", f'DENZEL_RUN_DIR="$DENZEL_RUN_DIR/{name}"']
    if not variables:
        return program
    command = f"bash -c '{' '.join(variables)} exec {program.command}'"
    return replace(program, name=name, command=command)


@dataclass(frozen=True)
class Process:
    """What supervisord knows of a program; ``started`` is in whole seconds since 1970."""

    name: str
    state: str
    started: int
    problem: str = ""

    @property
    def alive(self) -> bool:
        """Whether the program runs, be it only for a moment."""
        return self.state in ("STARTING", "RUNNING", "STOPPING", UNSUPERVISED)


class NotSupervised(Exception):
    """No supervisord answers: the deployment is stopped, or its supervisord was killed."""


class Supervisor:
    """Asks one supervisord, by XML-RPC (supervisord.org/api.html)."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path

    def pid(self) -> int:
        """Return supervisord's process id, which is its session's number, too."""
        return int(self._call("getPID"))

    def processes(self) -> dict[str, Process]:
        """Return every program by name; raises NotSupervised, or ServiceError if it hangs."""
        return {
            info["name"]: Process(
                info["name"], info["statename"], int(info["start"]), info["spawnerr"]
            )
            for info in self._call("getAllProcessInfo")
        }

    def start_stopped(self) -> None:
        """Start every program that is not running, without waiting for it."""
        self._call("startAllProcesses", False)

    def stop(self, name: str) -> None:
        """Tell a program to end, without waiting for it; one that is not running is left."""
        self._call("stopProcess", name, False)

    def read_config(self) -> tuple[list[str], list[str], list[str]]:
        """Read the configuration again; return the programs that are new, changed, and gone.

        Nothing is started or stopped by it.
        """
        ((added, changed, removed),) = self._call("reloadConfig")
        return added, changed, removed

    def add(self, name: str) -> None:
        """Start a program that the configuration has anew."""
        self._call("addProcessGroup", name)

    def remove(self, name: str) -> None:
        """Forget a program that has been stopped."""
        self._call("removeProcessGroup", name)

    def shut_down(self) -> None:
        """Tell supervisord to end all programs and itself."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        proxy = xmlrpc.client.ServerProxy(
            "http://localhost", transport=_UnixTransport(self._socket_path)
        )
        try:
            with proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == SHUTDOWN_STATE:
                raise NotSupervised from fault
            if fault.faultCode == NOT_RUNNING:
                return None
            raise ServiceError(
                f"The services' supervisor refuses {method} ({fault.faultString}); "
                "`denzel restart` replaces it"
            ) from fault
        except TimeoutError as error:
            raise ServiceError(
                "The services' supervisor does not answer; `denzel restart` replaces it"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise NotSupervised from error


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection("localhost", timeout=ANSWER_SECONDS)
        connection.path = self._path
        self._connection = (host, connection)
        return connection


class _UnixConnection(http.client.HTTPConnection):
    path: Path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@dataclass(frozen=True)
class Crashes:
    """How often a program ended at start, one time after another, and how the last time."""

    count: int = 0
    last: str = ""


def supervisor_config(
    programs: Sequence[Program] = PROGRAMS, *, private: str = ".denzel", logs: str = "logs"
) -> str:
    """Return the text of ``supervisord.conf``; it is the same for every project.

    ``private`` and ``logs`` are directories, relative to the project's.
    """
    return CONFIG.format(private=private) + "".join(
        PROGRAM.format(
            logs=logs,
            name=program.name,
            command=program.command,
            priority=program.priority,
            stop_seconds=program.stop_seconds,
        )
        for program in programs
    )


def read_crashes(log: Path) -> dict[str, Crashes]:
    """Return each program's present series of crashes, read from the end of supervisord's log.

    The XML-RPC answers tell neither how often a program was tried nor how it ended.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return {}
    crashes: dict[str, Crashes] = {}
    for line in text.splitlines():
        if " supervisord started with pid " in line:
            crashes.clear()
        elif stayed := re.search(r" success: (\S+) entered RUNNING state", line):
            crashes.pop(stayed[1], None)
        elif ended := re.search(r" exited: (\S+) \((.*); (?:not )?expected\)", line):
            before = crashes.get(ended[1], Crashes()).count
            crashes[ended[1]] = Crashes(before + 1, ended[2])
    return crashes
