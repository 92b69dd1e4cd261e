"""Run a command that builds an image: what is shown of it, logged, and made of its failure."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from denzel import process
from denzel.backends.base import Passing, Report
from denzel.backends.docker.errors import explain, release_failure
from denzel.backends.docker.progress import build_step
from denzel.errors import CommandError, EngineError, ProjectError
from denzel.project import Project

BUILD_LOG = "build.log"


def run_build(
    argv: Sequence[str], name: str, project: Project, report: Report, place: Mapping[str, Any]
) -> None:
    """Build the image ``name``: show its steps, and write what is said to logs/build.log.

    ``place`` is where and with which environment ``argv`` is run.  Raises ProjectError while
    another image of the project is being built.
    """
    log_name = f"{project.logs.name}/{BUILD_LOG}"
    step = ""
    project.logs.mkdir(exist_ok=True)
    with _emptied(project.logs / BUILD_LOG) as log:
        report(f"Building the image {name}; its log is {log_name}")

        def receive(line: str) -> None:
            nonlocal step
            log.write(f"{line}\n")
            step, said = build_step(line, step)
            if said:
                report(Passing(f"Building the image {name}, step {step}: {said}"))

        try:
            process.relay(argv, receive, **place)
        except CommandError as error:
            if reason := release_failure(error.said):
                raise ProjectError(f"{reason}; {log_name} has all that was said") from error
            meaning = explain(str(error)) or "The image could not be built"
            end = error.said.replace("\n", "\n    ")
            raise EngineError(f"{meaning}\nThe end of {log_name}:\n    {end}") from error
        finally:
            report(Passing(""))


@contextmanager
def _emptied(path: Path) -> Iterator[IO[str]]:
    """Give a log to write; raises ProjectError while another build writes it."""
    with path.open("a", buffering=1, encoding="utf-8") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProjectError(
                "Another denzel command is building an image of this project; try again when it "
                "is done"
            ) from None
        log.truncate(0)
        yield log
