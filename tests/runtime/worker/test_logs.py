"""The worker's log file: what gets into it, and that nothing about it raises."""

from __future__ import annotations

import io
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.runtime.worker import logs
from app.runtime.worker.logs import LogFile, LoggedStream, rotate_log

from ..deployment import Deployment, deployed

PRINTING = """
import logging, sys, warnings

def verify_input(json_data): return json_data
def load_model():
    print("loading")
def process(model, json_data):
    print("processing", json_data["n"])
    return json_data
def predict(model, data):
    from tqdm import tqdm
    warnings.warn(f"warned {data['n']}")
    logging.getLogger("mine").info("logged %s", data["n"])
    for _ in tqdm(range(3), desc=f"bar {data['n']}"):
        pass
    print("to stderr", data["n"], file=sys.stderr)
    if data["n"] == "bad":
        return helper(data)
    return {}
def helper(data):
    raise RuntimeError("on purpose")
"""


@pytest.fixture(scope="module", params=["auto", "none"])
def printing(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment of a pipeline that prints, with forked and with fresh processes."""
    settings = {"MODEL_SHARING": request.param, "PYTHONUNBUFFERED": ""}
    with deployed(tmp_path_factory.mktemp("printing"), PRINTING, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker()
        deployment.start_api()
        yield deployment


def texts(deployment: Deployment) -> dict[str, str]:
    """Return what `denzel logs` and `denzel logworker` show."""
    return {
        "logs": deployment.services["denzel"].log.read_text(encoding="utf-8"),
        "logworker": (deployment.directory / "logs/worker.log").read_text(encoding="utf-8"),
    }


def test_what_the_pipeline_prints_and_logs_is_in_both_logs(printing: Deployment) -> None:
    assert printing.predict({"n": "good"}).status_code == 200
    for name, text in texts(printing).items():
        for wanted in (
            "loading", "processing good\n", "UserWarning: warned good", "logged good [",
            "bar good: 100%", "to stderr good\n", "Model loaded in",
        ):  # fmt: skip
            assert wanted in text, name


def test_a_failure_is_in_both_logs_with_the_users_traceback_and_the_tasks_id(
    printing: Deployment,
) -> None:
    answer = printing.predict({"n": "bad"})
    assert answer.status_code == 500
    task_id = answer.headers["Denzel-Task-Id"]
    for name, text in texts(printing).items():
        after = text.partition(f"Prediction {task_id} failed\n")[2]
        assert after, name
        trace = after[: after.index("RuntimeError: on purpose")]
        assert "in predict" in trace
        assert "in helper" in trace
        assert "app/runtime" not in trace


def test_without_the_logs_directory_predictions_go_on_and_it_is_made_again(
    printing: Deployment,
) -> None:
    shutil.rmtree(printing.directory / "logs")
    assert printing.predict({"n": "bad"}).status_code == 500
    assert printing.predict({"n": "after"}).status_code == 200
    found = (printing.directory / "logs/worker.log").read_text(encoding="utf-8")
    assert "on purpose" in found
    assert "processing after\n" in found
    # So that the other tests find the service's own output again.
    (printing.directory / "logs/denzel.output").write_text("", encoding="utf-8")


# The parts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a log file is to be, in a directory that is not there yet."""
    return tmp_path / "logs" / "worker.log"


def stream(path: Path) -> tuple[LoggedStream, io.StringIO]:
    """Return a stream that is copied into a file, and what is on its other side."""
    inner = io.StringIO()
    return LoggedStream(inner, LogFile(path)), inner


def test_lines_are_copied_when_they_are_whole(path: Path) -> None:
    logged, inner = stream(path)
    print("a", "b", file=logged, end="")
    assert inner.getvalue() == "a b"
    assert not path.exists()
    print(" c\nd", file=logged)
    assert path.read_text(encoding="utf-8") == "a b c\nd\n"


def test_of_a_progress_bar_the_last_state_is_copied(path: Path) -> None:
    logged, inner = stream(path)
    for percent in (0, 50, 100):
        logged.write(f"\r{percent}%")
    logged.write("\nWindows\r\n")
    assert path.read_text(encoding="utf-8") == "100%\nWindows\n"
    assert inner.getvalue() == "\r0%\r50%\r100%\nWindows\r\n"


def test_a_file_that_was_moved_or_removed_is_made_again(path: Path) -> None:
    logged, _ = stream(path)
    print("one", file=logged)
    path.replace(path.with_suffix(".log.1"))
    print("two", file=logged)
    assert path.read_text(encoding="utf-8") == "two\n"
    shutil.rmtree(path.parent)
    print("three", file=logged)
    assert path.read_text(encoding="utf-8") == "three\n"


def test_a_directory_that_was_removed_is_made_again_behind_a_link(path: Path) -> None:
    """As a version of the project has it to the project's own."""
    link = path.parent.with_name("link")
    link.symlink_to(path.parent)
    logged, _ = stream(link / path.name)
    for text in ("one", "two"):
        print(text, file=logged)
        assert path.read_text(encoding="utf-8") == f"{text}\n"
        shutil.rmtree(path.parent)


def test_what_cannot_be_written_is_no_error(path: Path) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            self.write("")

    path.parent.write_text("a file where the directory should be", encoding="utf-8")
    print("lost", file=LoggedStream(Broken(), LogFile(path)))
    path.parent.unlink()
    path.parent.mkdir()
    path.symlink_to(path.parent / "elsewhere")
    print("lost", file=LoggedStream(io.StringIO(), LogFile(path)))
    assert not (path.parent / "elsewhere").exists()
    print("\ud800", file=LoggedStream(io.StringIO(), LogFile(path.with_name("other.log"))))
    assert path.with_name("other.log").read_text(encoding="utf-8") == "\\ud800\n"


def test_a_directory_in_its_place_is_no_error(path: Path) -> None:
    path.mkdir(parents=True)
    logged, inner = stream(path)
    print("lost", file=logged)
    assert inner.getvalue() == "lost\n"


def test_lines_of_several_threads_stay_whole(path: Path) -> None:
    logged, _ = stream(path)
    threads = [
        threading.Thread(target=lambda: [print("x" * 50, file=logged) for _ in range(200)])
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = path.read_text(encoding="utf-8").replace("\n", "")
    assert found == "x" * 50 * 200 * 4


def test_a_forked_process_begins_a_line_of_its_own(path: Path) -> None:
    logged, _ = stream(path)
    logged.write("of the parent")
    pid = os.fork()
    if not pid:
        print("of the child", file=logged)
        os._exit(0)
    os.waitpid(pid, 0)
    print(file=logged)
    assert path.read_text(encoding="utf-8") == "of the child\nof the parent\n"


def test_other_users_of_a_stream_find_what_they_need(path: Path) -> None:
    stdout = sys.__stdout__
    assert stdout is not None
    logged = LoggedStream(stdout, LogFile(path))
    assert logged.encoding == stdout.encoding
    assert logged.buffer is stdout.buffer
    assert not logged.closed
    with pytest.raises(TypeError):
        logged.write(b"bytes")  # type: ignore[arg-type]


def test_a_large_log_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rotate_log()  # there is none yet
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/worker.log").write_bytes(b"x" * (logs.LOG_BYTES + 1))
    rotate_log()
    assert [each.name for each in (tmp_path / "logs").iterdir()] == ["worker.log.1"]
