"""Predict, and fetch results, from a terminal and from scripts."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from command_line import Denzel
from denzel.project import Project


def test_predict_needs_json(denzel: Denzel, project: Project) -> None:
    done = denzel("predict", "-", cwd=project.root, stdin="{'a': 1}")
    assert done.returncode == 2
    assert "<stdin> does not hold JSON" in done.stderr


def test_predict_needs_a_file_that_exists(denzel: Denzel, project: Project) -> None:
    done = denzel("predict", "nowhere.json", cwd=project.root)
    assert done.returncode == 2
    assert "nowhere.json" in done.stderr


@contextmanager
def api_that_answers(
    project: Project, status: int, value: object, media_type: str = "image/png"
) -> Iterator[list[tuple[str, str | None]]]:
    """Serve one answer to every request at the project's API; give what was asked.

    ``media_type`` is what bytes are; everything else is JSON.
    """
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.path, self.headers.get("Prefer")))
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            if isinstance(value, bytes):
                self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    project.set_environment(API_PORT=str(server.server_port))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


TASK = "19e39afe-0729-43a8-b4c5-6a60281157bc"


@pytest.mark.parametrize(
    ("status", "answer", "code", "said"),
    [
        (200, {"status": "SUCCESS", "result": {"a": 1}}, 0, ""),
        (200, {"status": "PENDING", "result": None}, 3, "is not made yet (not begun yet)"),
        (200, {"status": "FAILURE", "result": {"args": ["x"]}}, 4, "ended in FAILURE: x"),
        (404, {"title": "Unknown task"}, 4, "404 Unknown task"),
        (401, {"title": "Unauthorized"}, 4, "or in the variable DENZEL_API_KEY"),
    ],
)  # fmt: skip
def test_result_tells_a_script_by_its_exit_code_how_a_prediction_ended(
    denzel: Denzel, project: Project,
    status: int, answer: dict[str, object], code: int, said: str,
) -> None:  # fmt: skip
    with api_that_answers(project, status, answer):
        done = denzel("result", TASK, cwd=project.root)
        document = denzel("result", TASK, "--json", cwd=project.root)
    assert (done.returncode, document.returncode) == (code, code)
    assert said in done.stderr
    if status == 200:
        assert json.loads(document.stdout)["state"] == answer["status"]
    if code == 0:
        assert json.loads(done.stdout) == {"a": 1}


def test_predict_asks_for_the_wait_it_tells_of(denzel: Denzel, project: Project) -> None:
    pending = {"title": "Prediction timed out", "description": "late", "task_id": TASK}
    with api_that_answers(project, 504, pending) as asked:
        done = denzel("predict", "-", "--timeout", "7", cwd=project.root, stdin="{}")
    assert asked == [("/predict", "wait=7")]
    assert done.returncode == 3
    assert done.stderr.endswith(f"; `denzel result {TASK} --wait` waits for it\n")


def in_terminal(*arguments: str, cwd: Path) -> str:
    """Run the command line with a terminal as its output; return what that shows."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "denzel", *arguments]
    with subprocess.Popen(command, cwd=cwd, stdin=its, stdout=its, stderr=its) as child:
        os.close(its)
        shown = b""
        with suppress(OSError):  # which a terminal says when it is left
            while read := os.read(ours, 65536):
                shown += read
        child.wait()
    os.close(ours)
    return " ".join(shown.decode(errors="replace").split())


def test_predict_writes_what_is_no_text(denzel: Denzel, project: Project, tmp_path: Path) -> None:
    picture = b"\x89PNG\r\n\x1a\n\xff"
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8")
    with api_that_answers(project, 200, picture) as asked:
        command = ["predict", str(tmp_path / "cat.jpg")]
        done = denzel(*command, "-o", str(tmp_path / "out.png"), cwd=project.root)
        on_terminal = in_terminal(*command, cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").read_bytes() == picture
    assert "out.png" in done.stderr
    assert len(asked) == 2
    assert "is 9 bytes and no text; -o FILE writes them" in on_terminal


def test_predict_async_may_leave_with_the_id(denzel: Denzel, project: Project) -> None:
    accepted = {"status": "success", "data": {"task_id": TASK}}
    with api_that_answers(project, 200, accepted) as asked:
        done = denzel("predict", "-", "--async", "--no-wait", cwd=project.root, stdin="{}")
    assert asked == [("/predict", "respond-async")]
    assert (done.stdout, done.returncode) == (f"{TASK}\n", 0)
    assert denzel("predict", "-", "--no-wait", cwd=project.root, stdin="{}").returncode == 2


def test_predict_stream_prints_each_piece_and_the_whole(denzel: Denzel, project: Project) -> None:
    events = b'data: {"n":1}\n\ndata: "two"\n\nevent: result\ndata: {"text":"all"}\n\n'
    with api_that_answers(project, 200, events, "text/event-stream") as asked:
        done = denzel("predict", "-", "--stream", cwd=project.root, stdin="{}")
    assert asked == [("/predict", "wait=60")]
    assert (done.stdout, done.returncode) == ('{"n": 1}\n"two"\n{\n  "text": "all"\n}\n', 0)
    refused = denzel("predict", "-", "--stream", "--async", cwd=project.root, stdin="{}")
    assert refused.returncode == 2
    assert "Give one of --stream and --async" in refused.stderr


def test_predict_without_an_api_says_where_to_look(
    denzel: Denzel, project: Project, unused_port: int
) -> None:
    project.set_environment(API_PORT=str(unused_port))
    done = denzel("predict", "-", cwd=project.root, stdin="{}")
    assert done.returncode == 1
    assert f"http://127.0.0.1:{unused_port} cannot be reached; `denzel status`" in done.stderr
