"""What the worker says of itself to ``denzel status``: loading, up, and what is wrong.

A process that loads a model of its own, or predicts for EXAMPLE before it is ready, records its
state in ``worker-process-N.json``; the main process sums all up in ``worker.json``, so that one
process alone writes that file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.runtime import state
from app.runtime.pipeline.plan import Plan
from app.runtime.worker.context import warms_up

_PROCESS = "worker-process-"


@dataclass(frozen=True)
class Stall:
    """A prediction that neither ends nor uses the processor; ``where`` is its line of code."""

    pid: int
    task_id: str
    seconds: int
    where: str

    def __str__(self) -> str:
        """Say it in one line."""
        at = f" at {self.where}" if self.where else ""
        return (
            f"process {self.pid} has waited for {self.seconds} s{at} without using the processor "
            f"(task {self.task_id}); its stack is in logs/worker.log"
        )


@dataclass(frozen=True)
class ProcessRecord:
    """What a process that loads its own model wrote about itself.

    It stays when the process has ended, until the one in its place writes.
    """

    pid: int
    state: str
    detail: str


def count_failed(run_directory: str) -> int:
    """Return in how many places no process can predict: one has said why, and none has loaded."""
    return sum(each.state == state.ERROR for each in read_processes(run_directory))


def write_process_state(index: int, pid: int, value: str, detail: str = "") -> None:
    """Record the state of the worker process in place ``index``."""
    state.write_state(f"{_PROCESS}{index}", value, detail, pid=pid)


def read_processes(run_directory: str) -> list[ProcessRecord]:
    """Return what the processes have recorded, dead ones included."""
    found = []
    for path in sorted(Path(run_directory).glob(f"{_PROCESS}*.json")):
        with suppress(OSError, ValueError, KeyError):
            record = json.loads(path.read_text(encoding="utf-8"))
            found.append(ProcessRecord(record["pid"], record["state"], record["detail"]))
    return found


def forget_processes(run_directory: str) -> None:
    """Remove what the processes of an earlier run recorded."""
    for path in Path(run_directory).glob(f"{_PROCESS}*"):
        path.unlink(missing_ok=True)


class Report:
    """Keeps ``worker.json`` up to date, in the worker's main process.

    ``name`` is the worker's.  ``tell(state, detail)`` is called with each look at the model: UP as
    soon as one process has it.
    """

    def __init__(
        self,
        run_directory: str,
        plan: Plan,
        name: str,
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        self._name = name
        self._run_directory = run_directory
        self._plan = plan
        self._tell = tell
        self._written: tuple[Any, ...] = ()

    def update(
        self,
        pids: Collection[int],
        expected: int,
        stalls: Sequence[Stall],
        gpus: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write the state if it has changed; ``pids`` are the processes that live."""
        value, detail, is_served = self._sum_up(pids, expected)
        if self._tell is not None:  # first: whoever reads UP in the file may ask at once
            self._tell(*((state.UP, "") if is_served else (value, detail)))
        notes = [] if self._plan.shared and not self._plan.reason else [self._plan.summary]
        if value == state.UP:
            detail = "; ".join([*map(str, stalls), *notes])
        if (value, detail, gpus) != self._written:
            facts = {**asdict(self._plan), "summary": self._plan.summary}
            stalled = [asdict(each) for each in stalls]
            # How the GPUs are is no sign of life of the event loop, which is told elsewhere.
            is_new = (value, detail) != self._written[:2]
            state.write_state(
                state.WORKER, value, detail, beats=is_new, name=self._name, model=facts,
                stalled=stalled, gpus=gpus,
            )  # fmt: skip
            self._written = (value, detail, gpus)

    def _sum_up(self, pids: Collection[int], expected: int) -> tuple[str, str, bool]:
        """Return the worker's state, its detail, and whether any process can predict."""
        if self._plan.shared and not warms_up():
            return state.UP, "", True
        records = read_processes(self._run_directory)
        failed = [each.detail for each in records if each.state == state.ERROR]
        loaded = sum(each.state == state.UP and each.pid in pids for each in records)
        if failed:
            return state.ERROR, failed[0], loaded > 0
        return (state.UP if loaded >= expected else state.LOADING), "", loaded > 0
