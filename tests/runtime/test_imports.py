"""Importing any module of the runtime has no side effects."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .service import bare_environment
from .template import TEMPLATE, copy_template

MODULES = sorted(
    ".".join(path.relative_to(TEMPLATE).with_suffix("").parts).removesuffix(".__init__")
    for path in (TEMPLATE / "app").rglob("*.py")
    if "logic" not in path.parts and "assets" not in path.parts
)
MODULES.append("app.logic")

HOSTILE = "raise SystemExit('the pipeline was imported')"

# What the audit events of CPython 3.11 to 3.13 call opening, connecting, looking up and the rest.
# Each module is imported in a fork of a process that has imported the other packages already:
# some of those open a socket to find out whether the system has IPv6.
WATCH = """
import json, os, sys, threading

WATCHED = {
    "os.exec", "os.fork", "os.kill", "os.mkdir", "os.posix_spawn", "os.remove", "os.rename",
    "os.system", "socket.__new__", "socket.bind", "socket.connect", "socket.getaddrinfo",
    "socket.gethostbyname", "subprocess.Popen",
}
events = []

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and path != os.devnull:
            events.append(["open for writing", str(path)])
    elif event in WATCHED:
        events.append([event, repr(arguments)])

def report(name):
    sys.addaudithook(watch)
    error = ""
    try:
        __import__(name)
    except BaseException as raised:
        error = repr(raised)
    return {
        "error": error,
        "events": list(events),
        "threads": [each.name for each in threading.enumerate()],
        "pipeline": "app.logic.pipeline" in sys.modules,
        "packages": sorted({each.split(".")[0] for each in sys.modules}),
    }

modules, packages = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for each in packages:
    __import__(each)
for each in modules:
    if not os.fork():
        print(json.dumps([each, report(each)]), flush=True)
        os._exit(0)
    os.wait()
"""

THIRD_PARTY = [
    "billiard", "celery.bin.celery", "falcon.asgi", "flower.command", "kombu", "orjson",
    "redis.asyncio", "requests", "tornado.ioloop",
]  # fmt: skip


def watch(project: Path, modules: list[str], packages: list[str]) -> dict[str, dict[str, Any]]:
    """Return what importing each module did, each in a process of its own."""
    command = [sys.executable, "-c", WATCH, json.dumps(modules), json.dumps(packages)]
    done = subprocess.run(
        command, cwd=project, env=bare_environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose pipeline ends whatever imports it."""
    directory = tmp_path_factory.mktemp("project")
    copy_template(directory, HOSTILE)
    return directory


@pytest.fixture(scope="module")
def imported(project: Path) -> dict[str, dict[str, Any]]:
    """Return what importing each module did; the project must be as it was afterwards."""
    before = sorted(project.rglob("*"))
    found = watch(project, MODULES, THIRD_PARTY)
    assert sorted(project.rglob("*")) == before
    return found


@pytest.mark.parametrize("module", MODULES)
def test_importing_has_no_side_effects(imported: dict[str, Any], module: str) -> None:
    """No socket, no file written, no process, no thread, and no pipeline."""
    found = imported[module]
    assert found["error"] == ""
    assert found["events"] == []
    assert found["threads"] == ["MainThread"]
    assert not found["pipeline"]


@pytest.mark.parametrize(
    "module",
    [
        "app.runtime.bootstrap",
        "app.runtime.state",
        "app.runtime.settings",
        "app.runtime.admin.response",
    ],
)
def test_what_runs_before_anything_is_installed_needs_the_standard_library_alone(
    project: Path, module: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c",
         f"import sys; sys.path.insert(0, '.'); import {module}"],
        cwd=project, env=bare_environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_api_does_without_celery_and_flower(project: Path) -> None:
    """They would be half of its memory and of its start."""
    found = watch(project, ["app.runtime.api.app"], [])["app.runtime.api.app"]
    assert {"celery", "kombu", "billiard", "flower", "tornado"}.isdisjoint(found["packages"])


def test_the_watch_sees_what_it_watches_for(project: Path) -> None:
    """Lest the tests above pass because it is blind."""
    (project / "noisy.py").write_text(
        "import socket, threading\n"
        "socket.socket()\n"
        "open('written', 'w').close()\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "import app.logic.pipeline\n",
        encoding="utf-8",
    )
    found = watch(project, ["noisy"], [])["noisy"]
    assert [event for event, _ in found["events"]] == ["socket.__new__", "open for writing"]
    assert len(found["threads"]) == 2
    assert "the pipeline was imported" in found["error"]
