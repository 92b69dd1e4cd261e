"""Try the pipeline the way the worker runs it, without services, and report each step as JSON.

``python -m app.runtime.pipeline.check [--timeout S] [--repeat N] [--content-type T] < sample``;
without a sample, EXAMPLE is used; without that, only the import and ``load_model`` are tried.  The
pipeline runs in another process (``check_process.py``), which may hang, crash or leave: this one
watches it.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from app.runtime.pipeline.plan import Plan, own_copies, plan_processes
from app.runtime.pipeline.tracebacks import dumped_lines
from app.runtime.settings import available_processors, load_settings

DEFAULT_TIMEOUT_SECONDS = 60.0
STACK_SECONDS = 5.0
"""How long a process that is ended may take to write its stack."""


@dataclass
class Report:
    """What is known so far; ``running`` is the step that has begun and not ended."""

    plan: Plan
    steps: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    running: str = ""
    pid: int = 0
    deadline: float = 0.0

    def take(self, message: dict[str, Any], timeout: float) -> None:
        """Note what the process says of itself."""
        if "begin" in message:
            self.running, self.pid = message["begin"], message["pid"]
            self.deadline = time.monotonic() + timeout
        elif "step" in message:
            self._note(message["step"])
            self.running = ""
        else:
            self.facts |= message

    def _note(self, step: dict[str, Any]) -> None:
        """Append a step, or put it in its place: a second process may import and load again."""
        names = [each["name"] for each in self.steps]
        if step["name"] in names:
            self.steps[names.index(step["name"])] = step
        else:
            self.steps.append(step)

    def fail(self, detail: str, lines: list[str]) -> None:
        """End the step that is running, or the check as a whole."""
        name = self.running or "check"
        self.steps.append(
            {"name": name, "ok": False, "seconds": None, "detail": detail, "lines": lines}
        )

    def encoded(self) -> bytes:
        """Return the report as JSON; the prediction in it is as the API would answer it."""
        ok = bool(self.steps) and all(step["ok"] for step in self.steps)
        result = self.facts.get("result") if ok else None
        plan = self.plan
        return orjson.dumps(
            {
                "ok": ok,
                "steps": self.steps,
                "source": self.facts.get("source"),
                "result": None if result is None else orjson.Fragment(result),
                "model": {
                    "shared": plan.shared, "processes": plan.processes, "threads": plan.threads,
                    "reason": plan.reason, "summary": plan.summary,
                },
                "memory": self.facts.get("memory"),
                "repeat": self.facts.get("repeat"),
            }
        )  # fmt: skip


def run_check(sample: bytes, timeout: float, repeat: int, content_type: str = "") -> bytes:
    """Return the report of one run through the pipeline, as JSON; ``sample`` may be empty.

    It is JSON unless ``content_type`` says what else.  A step that takes longer than ``timeout``
    seconds is ended; ``repeat`` is how many more predictions are timed.
    """
    settings = load_settings()
    report = Report(plan_processes(settings, available_processors()))
    with tempfile.TemporaryDirectory(prefix="denzel-check-") as directory:
        (Path(directory) / "sample").write_bytes(sample)
        _watch(report, directory, timeout, repeat, content_type)
        reason = report.facts.get("not_forkable")
        if reason:
            report.plan = own_copies(settings, available_processors(), reason)
            _watch(report, directory, timeout, repeat, content_type)
    return report.encoded()


def _watch(report: Report, directory: str, timeout: float, repeat: int, content_type: str) -> None:
    """Run the pipeline in a process of its own until that ends, or a step takes too long."""
    with _started(report.plan, directory, repeat, content_type) as (process, messages):
        for message in _messages(messages, report):
            report.take(message, timeout)
        stack_file = Path(directory) / "stack"
        if report.running and time.monotonic() >= report.deadline:
            _write_stack(report.pid, messages)
            lines = dumped_lines(stack_file.read_text(encoding="utf-8", errors="replace"))
            report.fail(f"it did not end within {timeout:g} s; --timeout allows more", lines)
            return
        code = process.wait()
        code = report.facts.pop("died", code)
        if report.running or code:
            lines = dumped_lines(stack_file.read_text(encoding="utf-8", errors="replace"))
            report.fail(f"the process ended: {_ending(code)}", lines)


@contextmanager
def _started(
    plan: Plan, directory: str, repeat: int, content_type: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield the process, and the end of a pipe that its messages come from; end it at last."""
    readable, writable = os.pipe()
    command = [
        sys.executable, "-P", "app/runtime/start.py", "app.runtime.pipeline.check_process",
        directory, str(writable),
        "--threads", str(plan.threads), "--repeat", str(repeat),
        "--content-type", content_type,
        *(["--shared"] if plan.shared else []),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=[writable], start_new_session=True
    )
    os.close(writable)
    try:
        yield process, readable
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(readable)


def _messages(source: int, report: Report) -> Iterator[dict[str, Any]]:
    """Yield messages until the process has no more, or the step that runs takes too long."""
    rest = b""
    while True:
        remaining = report.deadline - time.monotonic() if report.running else None
        if remaining is not None and remaining <= 0:
            return
        if not select.select([source], [], [], remaining)[0]:
            continue
        received = os.read(source, 65536)
        if not received:
            return
        *lines, rest = (rest + received).split(b"\n")
        yield from map(orjson.loads, lines)


def _write_stack(pid: int, messages: int) -> None:
    """Have faulthandler write where the process is; it does so even if that never returns."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGABRT)
    deadline = time.monotonic() + STACK_SECONDS
    while (remaining := deadline - time.monotonic()) > 0:
        if select.select([messages], [], [], remaining)[0] and not os.read(messages, 65536):
            return


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name} (out of memory?)" if name == "SIGKILL" else name


def main() -> int:
    """Check the pipeline with the sample on standard input; print the report."""
    parser = argparse.ArgumentParser(prog="python -m app.runtime.pipeline.check")
    parser.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT_SECONDS)
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--content-type", default="")
    parser.add_argument(
        "--sample-bytes", type=int, default=-1, help="of standard input; else it is read to its end"
    )
    chosen = parser.parse_args()
    sample = sys.stdin.buffer.read(chosen.sample_bytes)
    report = run_check(sample, chosen.timeout, chosen.repeat, chosen.content_type)
    sys.stdout.buffer.write(report)
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
