"""The only place that runs external programs."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from denzel.errors import CommandError, EngineError

STDERR_TAIL_LINES = 15


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float | None = None,
) -> bytes:
    """Run ``argv`` and return its standard output.

    ``timeout`` is in seconds.  Raises CommandError on a non-zero exit code (with the end of
    stderr) or a timeout, EngineError when the program is not installed.
    """
    try:
        done = subprocess.run(
            list(argv), cwd=cwd, env=env, input=stdin, capture_output=True, timeout=timeout
        )
    except FileNotFoundError as error:
        raise _not_installed(argv) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{_shown(argv)} did not end within {timeout:g} s") from error
    if done.returncode:
        raise _failure(argv, done.returncode, (done.stderr or done.stdout).decode(errors="replace"))
    return done.stdout


def attach(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> int:
    """Run ``argv`` on this terminal (its own stdin, stdout, stderr); return its exit code."""
    try:
        return subprocess.run(list(argv), cwd=cwd, env=env).returncode
    except FileNotFoundError as error:
        raise _not_installed(argv) from error


def relay(
    argv: Sequence[str],
    receive: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run ``argv`` and hand each line it prints (stdout and stderr) to ``receive``.

    Raises CommandError, with the last of those lines, on a non-zero exit code.
    """
    tail: deque[str] = deque(maxlen=STDERR_TAIL_LINES)
    with _merged(argv, cwd, env) as child:
        for line in _text_lines(child):
            tail.append(line)
            receive(line)
        code = child.wait()
    if code:
        raise _failure(argv, code, "\n".join(tail))


@contextmanager
def lines(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Iterator[str]]:
    """Give the lines ``argv`` prints (stdout and stderr) while it runs; end it on leaving."""
    with _merged(argv, cwd, env) as child:
        yield _text_lines(child)


@contextmanager
def _merged(
    argv: Sequence[str], cwd: Path | None, env: Mapping[str, str] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``argv``, its stderr joined to its stdout; end it on leaving."""
    try:
        child = subprocess.Popen(
            list(argv), cwd=cwd, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise _not_installed(argv) from error
    try:
        yield child
    finally:
        child.terminate()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _text_lines(child: subprocess.Popen[bytes]) -> Iterator[str]:
    return (line.decode(errors="replace").rstrip("\r\n") for line in child.stdout or ())


def _shown(argv: Sequence[str]) -> str:
    return "`" + " ".join(argv) + "`"


def _not_installed(argv: Sequence[str]) -> EngineError:
    return EngineError(f"{argv[0]} is not installed or not on PATH")


def _failure(argv: Sequence[str], code: int, output: str) -> CommandError:
    tail = output.strip().splitlines()[-STDERR_TAIL_LINES:]
    said = "\n".join(tail)
    return CommandError(f"{_shown(argv)} failed with exit code {code}\n{said}".strip(), said=said)
