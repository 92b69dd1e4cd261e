"""A program that stands where a service's own would be, to behave as a test wants.

``python -m app.stand_in SERVICE``; what ``stand_in/SERVICE`` in the project's root holds says
how to behave.  The backend's tests are about processes; the services' own programs would need
half a minute to be installed.
"""

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType

# The project's own, found in its root at run time.
state = importlib.import_module("app.runtime.state")


def end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


class Answer(BaseHTTPRequestHandler):
    """Answers whatever is asked at a service's port."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Write nothing."""


def answer(service: str) -> None:
    """Answer at the service's port, if it has one."""
    name = f"{service.upper()}_PORT"
    if name in os.environ:
        host = os.environ.get(f"{service.upper()}_HOST") or "127.0.0.1"
        HTTPServer.allow_reuse_port = "API_SHARES_PORT" in os.environ
        server = HTTPServer((host, int(os.environ[name])), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()


def main() -> None:
    service = sys.argv[1]
    file = Path("stand_in", service)
    behaviour = file.read_text().strip() if file.exists() else ""
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "hang" else end)
    spoken = behaviour or repr(os.environ.get("SPOKEN", ""))
    print(f"{service} {os.getpid()} says: {spoken}", flush=True)
    if behaviour == "crash":
        state.write_state(service, state.STARTING)
        print("It went wrong", file=sys.stderr, flush=True)
        sys.exit(3)
    if behaviour == "fail":
        state.write_state(service, state.ERROR, "no such package")
    elif behaviour == "install":
        state.write_state(service, state.PIP_INSTALLING)
    elif behaviour != "silent":
        if behaviour != "deaf":
            answer(service)
        state.write_state(service, state.UP)
    if behaviour == "daemon":
        # A child in a session of its own that loses its mark, and one that keeps it.
        for environment in (None, {"PATH": os.environ["PATH"]}):
            child = subprocess.Popen(
                ["sleep", "1000"], start_new_session=environment is None, env=environment
            )
            Path("stand_in", f"child-{child.pid}").touch()
    if service == "denzel" and behaviour not in ("silent", "load"):
        number = os.environ.get("DENZEL_REPLICA", "1")
        name = f"worker-{number}@stand_in" if number != "1" else "worker@stand_in"
        state.write_state(state.WORKER, state.UP, name=name)
    while True:
        time.sleep(1)
        for name in (service, state.WORKER) if service == "denzel" else (service,):
            state.beat(name)


main()
