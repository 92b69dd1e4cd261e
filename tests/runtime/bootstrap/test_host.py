"""The process that runs a service: it replaces the program by another version's, or keeps it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..polling import wait_until
from ..ports import free_port
from ..service import Service, bare_environment
from ..template import copy_template

SERVICE = "api"
PROGRAM = """
import os, signal, socket, sys, time
from app.runtime import state

def end(*_):
    print(name, "ends in good order", flush=True)
    sys.exit(0)

name = open("name").read()
if name == "crashing":
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
listener = socket.socket(fileno=int(os.environ["DENZEL_LISTENER"]))
print(name, "beside" if os.environ.get("DENZEL_BESIDE") else "alone", flush=True)
open(f"pid-{name}", "w").write(str(os.getpid()))
if name == "broken":
    state.write_state("api", state.ERROR, "no model")
elif name != "slow":
    state.write_state("api", state.UP, name)
while True:
    time.sleep(1)
"""


class Hosted:
    """A service of stand-in programs, one in each version's directory."""

    def __init__(self, root: Path) -> None:
        copy_template(root, None)
        self.root = root
        self.run = root / "run"
        self.port = free_port()
        self.environment = {
            **bare_environment(), "DENZEL_RUN_DIR": str(self.run), "API_PORT": str(self.port),
            "PYTHONPATH": str(root),
        }  # fmt: skip
        self.version("first")
        program = [sys.executable, "-c", PROGRAM]
        start = ["-P", str(root / "app/runtime/start.py"), "app.runtime.bootstrap.host"]
        self.command = [sys.executable, *start, SERVICE, *program]
        self.service = Service(SERVICE, self.command, root / "first", self.environment)
        self.shows("first")

    def version(self, name: str) -> Path:
        """Make the directory of a version whose program behaves as its name says."""
        directory = self.root / name
        (directory / "logs").mkdir(parents=True, exist_ok=True)
        (directory / "name").write_text(name)
        return directory

    def pid(self, name: str) -> int:
        """Return the process id of a version's program."""
        file = self.root / name / f"pid-{name}"
        return wait_until(lambda: file.exists() and int(file.read_text() or 0), 20, what=name)

    def state(self) -> dict[str, Any]:
        """Return the state that ``denzel status`` would show."""
        path = self.run / f"{SERVICE}.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def shows(self, name: str) -> None:
        """Wait until the state is that of a version."""
        wait_until(
            lambda: self.state().get("detail") == name, 20,
            what=f"the state is that of {name}", evidence=self.service.output,
        )  # fmt: skip

    def ask(self, name: str, *, stop_first: bool = False) -> socket.socket:
        """Ask for a version; return the connection to be answered on."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.run)  # the path may be too long
            connection.connect(f"{SERVICE}.sock")
        request = {
            "directory": str(self.version(name)), "environment": {}, "stop_first": stop_first,
        }  # fmt: skip
        connection.sendall(json.dumps(request).encode() + b"\n")
        return connection

    def switch(self, name: str, *, stop_first: bool = False) -> str:
        """Have a version run; return why it does not, if so."""
        with self.ask(name, stop_first=stop_first) as connection, connection.makefile() as answer:
            return str(json.loads(answer.readline())["error"])

    def is_alive(self, name: str) -> bool:
        """Tell whether the program of a version runs."""
        return Path(f"/proc/{self.pid(name)}").exists()


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    hosted = Hosted(tmp_path)
    yield hosted
    hosted.service.kill()


def test_another_version_takes_over_when_it_is_ready(hosted: Hosted) -> None:
    assert hosted.switch("second") == ""
    hosted.shows("second")
    assert not hosted.is_alive("first")
    output = hosted.service.output()
    assert output.index("second beside") < output.index("first ends in good order")
    assert hosted.switch("third", stop_first=True) == ""
    output = hosted.service.output()
    assert output.index("second ends in good order") < output.index("third alone")
    hosted.service.process.terminate()
    assert hosted.service.process.wait(20) == 0
    assert "third ends in good order" in hosted.service.output()


def test_the_socket_stays_open_all_the_time(hosted: Hosted) -> None:
    with socket.create_connection(("127.0.0.1", hosted.port), timeout=5):
        assert hosted.switch("second") == ""
    with socket.create_connection(("127.0.0.1", hosted.port), timeout=5):
        pass


def test_a_version_that_fails_changes_nothing(hosted: Hosted) -> None:
    assert hosted.switch("broken") == "no model"
    assert hosted.switch("crashing") == "it ended with exit code 3"
    assert hosted.state()["detail"] == "first"
    assert hosted.is_alive("first")
    assert not hosted.is_alive("broken")
    assert hosted.switch("broken", stop_first=True) == "no model"
    wait_until(
        lambda: hosted.service.output().count("first alone") == 2, 20,
        what="the first one was started again", evidence=hosted.service.output,
    )  # fmt: skip
    hosted.shows("first")
    assert hosted.switch("second") == ""
    assert hosted.switch("broken", stop_first=True) == "no model"
    wait_until(
        lambda: "second alone" in hosted.service.output(), 20,
        what="the second one was started again, beside no other", evidence=hosted.service.output,
    )  # fmt: skip


def test_a_taken_port_is_named(hosted: Hosted, tmp_path: Path) -> None:
    again = Service("again", hosted.command, tmp_path / "first", hosted.environment)
    assert again.process.wait(20) == 1
    assert f"Address already in use: '127.0.0.1:{hosted.port}'" in again.output()


def test_hanging_up_gives_the_new_version_up(hosted: Hosted) -> None:
    with hosted.ask("slow"):
        assert hosted.is_alive("slow")
    wait_until(lambda: not hosted.is_alive("slow"), 20, what="the new program ends")
    assert hosted.is_alive("first")
    assert hosted.switch("second") == ""


def test_a_service_that_ends_meanwhile_ends_as_ever(hosted: Hosted) -> None:
    with hosted.ask("slow"):
        slow = hosted.pid("slow")
        os.kill(hosted.pid("first"), signal.SIGKILL)
        assert hosted.service.process.wait(20) == -signal.SIGKILL
    assert not Path(f"/proc/{slow}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_the_program_does_not_outlive_its_host(hosted: Hosted) -> None:
    pid = hosted.pid("first")
    hosted.service.process.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20, what="the program ends")
