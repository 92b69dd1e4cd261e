"""How results look: the status table, logs, findings, progress; colour only on a terminal."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from denzel.backends.base import Passing
from denzel.errors import UsageError
from denzel.live import LiveView, wrap
from denzel.live import echo as echo  # what commands print with
from denzel.services import (
    NOT_LAUNCHED,
    SERVICES,
    ServiceStatus,
    State,
    Status,
    WorkerStatus,
)

if TYPE_CHECKING:
    from denzel.doctor import Finding
    from denzel.operations import Release
    from denzel.upgrade import UpgradeResult
    from denzel.versions import Version

RUNTIME = "app/runtime"
FEW_FILES = 10
PATIENCE_SECONDS = 2.0
PROGRESS_LOCK = threading.Lock()
WITH_PORT_SHOWN = ("api", "monitor")
CALLBACK_COLUMNS = ("TASK", "STATE", "TRIES", "NEXT TRY", "KEPT UNTIL", "LAST ANSWER", "URI")
NAME_WIDTH = max(len(name) for name in SERVICES)
STATE_COLOURS = {State.UP: "green", State.DOWN: "red", State.ERROR: "red"}
UNLIMITED = sys.maxsize
SERVICE_COLOURS = ("cyan", "yellow", "magenta", "blue", "green")


def progress(line: str) -> None:
    """Print one line of progress, apart from data: on stderr.

    A passing one is shown on a terminal, and gone with the next.
    """
    with PROGRESS_LOCK:
        _show_progress(line)


def _show_progress(line: str) -> None:
    if _passing_view().in_place:
        columns = shutil.get_terminal_size().columns
        _passing_view().show([line[: columns - 1]] if line and isinstance(line, Passing) else [])
    if not isinstance(line, Passing):
        echo(line, err=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Tell on a terminal what is waited for, once that takes more than two seconds."""
    if not _passing_view().in_place:
        yield
        return
    ended = threading.Event()
    began = time.monotonic()

    def tell() -> None:
        while not ended.wait(1.0):
            seconds = time.monotonic() - began
            if seconds > PATIENCE_SECONDS:
                progress(Passing(f"{what} ({seconds:.0f} s)"))

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
        progress(Passing(""))


def print_json(value: Any) -> None:
    """Print ``value`` as JSON for people and programs alike."""
    echo(_json(value))


def print_prediction(answer: Any, output: Path | None) -> None:
    """Print a prediction, or write it to ``output``; raises UsageError for bytes on a terminal."""
    if output is not None:
        content = answer if isinstance(answer, bytes) else _json(answer).encode() + b"\n"
        output.write_bytes(content)
        progress(f"{len(content)} bytes written to {output}")
    elif not isinstance(answer, bytes):
        echo(_json(answer))
    elif sys.stdout.isatty():
        raise UsageError(f"The prediction is {len(answer)} bytes and no text; -o FILE writes them")
    else:
        click.echo(answer, nl=False)


def print_piece(piece: Any) -> None:
    """Print a piece of a prediction on a line of its own."""
    echo(json.dumps(piece, ensure_ascii=False))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


# --- status


def status_lines(status: Status | None) -> list[str]:
    """Return what ``denzel status`` shows, line by line."""
    if status is None:
        return [NOT_LAUNCHED]
    workers = status.workers
    loading = bool(workers) and all(worker.state is State.LOADING for worker in workers)
    services = sorted(status.services, key=_service_order)
    lines = ["Services:", *(_service_line(service, not loading) for service in services)]
    if any(service.name == "denzel" and service.state is State.UP for service in services):
        lines += _worker_lines(status.workers, loading)
    return lines


def status_document(status: Status | None) -> dict[str, Any]:
    """Return what ``denzel status --json`` prints."""
    if status is None:
        return {"launched": False, "ready": False, "services": [], "workers": []}
    return {"launched": True, "ready": status.ready, **asdict(status)}


def print_status(status: Status | None, *, as_json: bool) -> None:
    """Print a status once."""
    if as_json:
        print_json(status_document(status))
    else:
        echo("\n".join(status_lines(status)))


def print_live(statuses: Iterable[Status | None], *, as_json: bool) -> None:
    """Print statuses as they change: redrawn in place on a terminal, else one after another."""
    view = LiveView()
    for status in statuses:
        if as_json:
            view.show([json.dumps(status_document(status), ensure_ascii=False)])
        else:
            view.show(status_lines(status))


@cache
def _passing_view() -> LiveView:
    return LiveView(err=True)


class WaitView:
    """What a person who waits for the services sees; goes to stderr."""

    def __init__(self) -> None:
        self.view = LiveView(err=True)
        self.began = time.monotonic()
        self.states: dict[str, State] = {}

    def show(self, status: Status) -> None:
        """Show the status, or off a terminal only what changed in it."""
        seconds = f"{time.monotonic() - self.began:.0f} s"
        if self.view.in_place:
            waiting = "Ready" if status.ready else "Waiting until every line says UP"
            self.view.show([*status_lines(status), click.style(f"{waiting} ({seconds})", dim=True)])
            return
        lines = {line.name: line.state for line in status.lines}
        changed = [f"{name} {state}" for name, state in lines.items() if self._news(name, state)]
        if changed:
            progress(f"{seconds:>6}: {', '.join(changed)}")
        self.states = lines

    def clear(self) -> None:
        """Take the status off the terminal again: what comes next shows it for good."""
        if self.view.in_place:
            self.view.show([])

    def _news(self, name: str, state: State) -> bool:
        return self.states.get(name) is not state


def _service_order(service: ServiceStatus) -> int:
    return SERVICES.index(service.name) if service.name in SERVICES else len(SERVICES)


def _service_line(service: ServiceStatus, ports_open: bool) -> str:
    line = f"    {service.name} - {_state(service)}"
    listens = service.state is State.UP and ports_open and service.name in WITH_PORT_SHOWN
    line += f" [ Port: {service.port} ]" if listens and service.port else ""
    return f"{line} [ Replicas: {service.replicas} ]" if service.replicas > 1 else line


def _worker_lines(workers: Sequence[WorkerStatus], loading: bool) -> Iterator[str]:
    if loading:
        yield f"Worker: all - {_coloured(State.LOADING)}"
        return
    for worker in workers:
        detail = f" ({worker.detail})" if worker.detail else ""
        yield f"Worker: {worker.name} - {_coloured(worker.state)}{detail}"
        yield from map(_gpu_line, worker.gpus)


def _gpu_line(gpu: Mapping[str, Any]) -> str:
    """Return how a GPU is; that comes from where a model's code runs, and may not steer us."""
    name = f"    {gpu['label']} ({gpu['name']})" if gpu["name"] else f"    {gpu['label']}"
    facts = []
    if gpu["problem"]:
        facts.append(f"{_coloured(State.ERROR)} ({_printable(gpu['problem'])})")
    elif gpu["memory_total_bytes"]:
        used, total = (gpu[f"memory_{kind}_bytes"] / 2**30 for kind in ("used", "total"))
        facts.append(f"{used:.1f} of {total:.1f} GiB in use")
    if gpu["utilization_percent"] is not None and not gpu["problem"]:
        facts.append(f"{gpu['utilization_percent']} % busy")
    if gpu["pids"]:
        noun = "process" if len(gpu["pids"]) == 1 else "processes"
        facts.append(f"{noun} {', '.join(map(str, gpu['pids']))}")
    return f"{_printable(name)} - {', '.join(facts)}" if facts else _printable(name)


def _printable(text: str) -> str:
    return "".join(filter(str.isprintable, text))


def _state(line: ServiceStatus | WorkerStatus) -> str:
    tells = line.detail and line.state in (State.ERROR, State.DOWN)
    detail = f" ({line.detail})" if tells else ""
    return _coloured(line.state) + detail


def _coloured(state: State) -> str:
    return click.style(str(state), fg=STATE_COLOURS.get(state, "yellow"))


# --- logs, findings, reports


def print_logs(lines: Iterable[tuple[str, str]]) -> None:
    """Print log lines, (service, text) each, behind their service's name."""
    colours: dict[str, str] = {}
    for service, text in lines:
        colour = colours.setdefault(service, SERVICE_COLOURS[len(colours) % len(SERVICE_COLOURS)])
        echo(f"{click.style(f'{service:<{NAME_WIDTH}}', fg=colour)} | {text}")


def print_findings(findings: Iterable[Finding]) -> None:
    """Print what was examined, and what to do about what is not well."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED
    for finding in findings:
        mark = "ok" if finding.ok else "FAILED" if finding.needed else "missing"
        line = _result(mark, finding.ok, finding.needed, f"{finding.name}: {finding.detail}")
        echo("\n".join(wrap(line, columns)))
        if finding.remedy and not finding.ok:
            echo("\n".join(wrap(f"        {finding.remedy}", columns)))


def print_callbacks(callbacks: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print callbacks that are not delivered, a line each."""
    if as_json:
        print_json(callbacks)
        return
    if not callbacks:
        echo("Every callback is delivered")
        return
    rows = [CALLBACK_COLUMNS, *map(_callback_row, callbacks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(CALLBACK_COLUMNS))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        echo("  ".join(cells).rstrip())


def print_versions(versions: Sequence[Version], served: int, size: int, *, as_json: bool) -> None:
    """Print the versions of a project, a line each, and what they take."""
    if as_json:
        shown = ("number", "made", "by", "worked", "same_as")
        rows = [{name: asdict(each)[name] for name in shown} for each in versions]
        print_json({"served": served, "size_bytes": size, "versions": rows})
        return
    if not versions:
        echo("There are no versions yet: `denzel launch` makes the first one")
        return
    for each in versions:
        mark = "*" if each.number == served else " "
        result = "worked" if each.worked else "not seen working"
        files = f", the files of version {each.same_as}" if each.same_as else ""
        echo(f"{mark} {each.number:>3}  {_moment(each.made)}  {each.by:<8}  {result}{files}")
    echo(f"{size / 2**20:.0f} MiB in .denzel/versions")


def _moment(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "-"


def _callback_row(callback: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(callback["task_id"]),
        str(callback["state"]),
        str(callback["attempts"]),
        _moment(callback["next_at"]),
        _moment(callback.get("expires_at")),
        str(callback["last_error"] or "-"),
        str(callback["uri"]),
    )


def print_check(report: Mapping[str, Any]) -> None:
    """Print the steps of a check, where it failed or what it predicted, and what that took."""
    for step in report["steps"]:
        took = f" ({step['seconds']:.3f} s)" if step["ok"] else f": {step['detail']}"
        echo(_result("ok" if step["ok"] else "FAILED", step["ok"], True, step["name"] + took))
        for line in step["lines"]:
            echo(f"          {line}")
    if not report["ok"]:
        return
    echo(report["model"]["summary"])
    if report["repeat"]:
        echo(_repeat_line(report))
    if report["source"]:
        print_json(report["result"])
    else:
        echo(
            "Give a file with a request, `denzel check FILE`, or define EXAMPLE in "
            "app/logic/pipeline.py, to try a prediction, too"
        )


def _repeat_line(report: Mapping[str, Any]) -> str:
    repeat, memory = report["repeat"], report["memory"]
    median, worst = (repeat[f"{which}_seconds"] * 1000 for which in ("median", "worst"))
    line = f"{repeat['count']} predictions: median {median:.2f} ms, worst {worst:.2f} ms"
    if memory:
        rss, pss = (memory[f"{kind}_bytes"] / 2**20 for kind in ("rss", "pss"))
        line += f"; memory: {rss:.0f} MiB, {pss:.0f} MiB not counting what is shared twice"
    return line


def print_release(release: Release) -> None:
    """Print what an image that was built is called, and how large it is."""
    echo(f"Image:  {release.image}")
    # Only a registry gives an image a digest that others can ask for.
    echo(f"Digest: {release.digest}" if release.digest else f"Id:     {release.id}")
    echo(f"Size:   {release.size / 1e6:.0f} MB")


def print_upgrade(result: UpgradeResult) -> None:
    """Print what an upgrade did to each file."""
    for verb, paths in (
        ("Replaced", result.replaced),
        ("Added", result.added),
        ("Removed", result.removed),
    ):
        for path in _summed_up(paths):
            echo(f"{verb} {path}")
    for path in result.conflicts:
        echo(f"You changed {path}: denzel's version is in {path}.new; merge the two")
    for path, kept in result.kept.items():
        echo(f"You had changed {path}: yours is in {kept}, and is not used any more")
    for note in result.notes:
        echo(note)
    echo(f"The project is at version {result.version}")


def _summed_up(paths: Sequence[str]) -> list[str]:
    """Return paths with those of denzel's own runtime, which nobody reads, as one line."""
    own = [path for path in paths if path.startswith(RUNTIME)]
    if len(own) < FEW_FILES:
        return list(paths)
    return [*(path for path in paths if path not in own), f"{len(own)} files in {RUNTIME}"]


def _result(mark: str, ok: bool, needed: bool, text: str) -> str:
    colour = "green" if ok else "red" if needed else "yellow"
    return f"{click.style(f'{mark:<7}', fg=colour)} {text}"
