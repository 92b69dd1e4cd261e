"""The process that runs a service's program, and replaces it by that of another version.

It stays what Docker or supervisor started: it ends when the program ends, and in the same way, and
hands on what it is told by signals.  Asked to over a socket in ``$DENZEL_RUN_DIR``, it starts the
program of another version beside the one that runs, waits until that is ready, and only then ends
the old one.  The API's socket is its own, so that it stays open meanwhile.

A request is one line of JSON, ``{"directory", "environment", "stop_first"}``; so is the answer,
``{"error"}``, which is empty when the other version runs.  Hanging up before that gives the new
program up.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from app.runtime.bootstrap.child import Child
from app.runtime.bootstrap.run_directories import RunDirectories
from app.runtime.hosts import authority
from app.runtime.settings import Settings, load_settings
from app.runtime.state import ERROR, UP, WORKER, read_state

LISTENER_VARIABLE = "DENZEL_LISTENER"
"""Holds the number of the API's listening socket."""
BESIDE_VARIABLE = "DENZEL_BESIDE"
"""Is set where the program of another version still runs, and holds requests."""
BACKLOG = 4096
LOOK_SECONDS = 0.1
STOP_SECONDS = 40.0
"""How long a program that was replaced may take for what it holds, as in docker-compose.yml."""
GIVE_UP_SECONDS = 10.0
HANDED_ON = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTTIN, signal.SIGTTOU,
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
)  # fmt: skip
"""The signals that a program may know: all of gunicorn's."""
READINESS = {"denzel": WORKER}
"""Which state says that a service is ready, where it is not its own."""


class Stopping(Exception):
    """The service is told to end, or has ended."""


class NotReplaced(Exception):
    """The other version does not run; the text says why."""


class Host:
    """Runs one service's program; all in one thread."""

    def __init__(self, service: str, program: Sequence[str]) -> None:
        self._service = service
        self._program = list(program)
        self._runs = RunDirectories(service)
        self._listener = open_listener(load_settings()) if service == "api" else None
        self._control = self._runs.listen()
        self._wake, wake_end = os.pipe()
        for end in (self._wake, wake_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._is_stopping = False
        self._current = self._start(Path.cwd(), {}, shown=True)
        for number in HANDED_ON:
            signal.signal(number, self._hand_on)

    def run(self) -> int:
        """Run the service until it ends; return its exit code, negative for a signal."""
        while self._current.code is None:
            if self._wait(None, self._control):
                with suppress(Stopping):
                    self._answer()
        self._runs.close()
        return self._current.code

    def _hand_on(self, number: int, _frame: FrameType | None) -> None:
        self._is_stopping |= number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
        self._current.signal(number)

    def _wait(self, seconds: float | None, *sockets: socket.socket) -> list[Any]:
        """Wait until a signal, a socket or the time comes; return the sockets that are readable."""
        watched: list[Any] = [self._wake, *sockets]
        found = select.select(watched, [], [], seconds)[0]
        with suppress(BlockingIOError):
            os.read(self._wake, 4096)
        return [each for each in found if each is not self._wake]

    def _answer(self) -> None:
        """Take one request to replace the program.  Raises Stopping."""
        connection, _ = self._control.accept()
        with connection, suppress(OSError, ValueError):  # of a client that hangs up
            connection.settimeout(GIVE_UP_SECONDS)
            with connection.makefile("rb") as lines:
                request = json.loads(lines.readline())
            error = ""
            try:
                self._replace(connection, **request)
            except NotReplaced as reason:
                error = str(reason)
            connection.sendall(json.dumps({"error": error}).encode() + b"\n")

    def _replace(
        self,
        client: socket.socket,
        directory: str,
        environment: Mapping[str, str],
        stop_first: bool,
    ) -> None:
        """Run another version's program in place of this one; raises NotReplaced."""
        old = self._current
        if stop_first:
            self._end(old, STOP_SECONDS)
        beside = {} if stop_first else {BESIDE_VARIABLE: "1"}
        try:
            new = self._start_ready(Path(directory), {**environment, **beside}, client)
        except BaseException:
            if stop_first and not self._is_stopping:
                alone = {**old.environment}
                alone.pop(BESIDE_VARIABLE, None)
                self._take(self._start(old.directory, alone, shown=True))
            raise
        self._take(new)
        self._runs.show(new.run_directory, instead_of=old.run_directory)
        new.spare()
        self._end(old, STOP_SECONDS)
        self._runs.remove(old.run_directory)

    def _take(self, child: Child) -> None:
        """Have a program be the one that serves, and that signals go to from now on."""
        self._current = child
        if self._is_stopping:  # what it has missed
            child.signal(signal.SIGTERM)

    def _start_ready(
        self, directory: Path, environment: Mapping[str, str], client: socket.socket
    ) -> Child:
        """Start another version's program and return it when it is ready; raises NotReplaced."""
        try:
            new = self._start(directory, environment, shown=False)
        except OSError as error:
            raise NotReplaced(f"it cannot be started: {error}") from error
        try:
            self._wait_until_ready(new, client)
        except BaseException:
            self._end(new, GIVE_UP_SECONDS)
            self._runs.remove(new.run_directory)
            raise
        return new

    def _start(self, directory: Path, environment: Mapping[str, str], *, shown: bool) -> Child:
        run_directory = self._runs.create(shown=shown)
        inner = {**environment, "DENZEL_RUN_DIR": str(run_directory)}
        if self._listener is not None:
            inner[LISTENER_VARIABLE] = str(self._listener.fileno())
        inherited = () if self._listener is None else (self._listener.fileno(),)
        return Child(self._program, directory, inner, inherited, is_on_trial=not shown)

    def _wait_until_ready(self, child: Child, client: socket.socket) -> None:
        name = READINESS.get(self._service, self._service)
        while True:
            shown, detail = read_state(child.run_directory / f"{name}.json")
            if shown == UP:
                return
            if shown == ERROR:
                raise NotReplaced(detail)
            if child.code is not None:
                raise NotReplaced(f"it ended with {child.ending}")
            if self._is_stopping or (self._current.code is not None and not self._current.is_ended):
                raise Stopping
            if self._wait(LOOK_SECONDS, client) and not client.recv(1):
                raise NotReplaced("it was given up")

    def _end(self, child: Child, seconds: float) -> None:
        """Have a program end in good order; kill it after ``seconds``."""
        child.is_ended = True
        child.signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while child.code is None and time.monotonic() < deadline:
            self._wait(LOOK_SECONDS)
        child.kill()


def open_listener(settings: Settings) -> socket.socket:
    """Return the socket on which the API listens.

    Raises OSError.  A host that is empty is this machine alone, as in gunicorn_conf.py.
    """
    host = (settings.api_host or "127.0.0.1").strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.api_shares_port:  # the kernel then spreads connections over all who listen
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, settings.api_port))
    except OSError as error:
        error.filename = authority(host, settings.api_port)
        raise
    listener.listen(BACKLOG)
    listener.set_inheritable(True)
    return listener


def main(arguments: Sequence[str]) -> int:
    """Run ``SERVICE PROGRAM ARGUMENT...``, and end as the program does."""
    service, *program = arguments
    try:
        code = Host(service, program).run()
    except OSError as error:
        print(f"{service}: {error}", file=sys.stderr, flush=True)
        return 1
    if code < 0:
        with suppress(OSError):  # SIGKILL has no other handler
            signal.signal(-code, signal.SIG_DFL)
        signal.raise_signal(-code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
