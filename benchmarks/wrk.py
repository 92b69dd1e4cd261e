"""Closed-loop load with wrk: each connection sends its next request when it has an answer."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import commands
from benchmarks.http_client import JSON
from benchmarks.records import Load

SCRIPT = Path(__file__).parent / "load.lua"
ANSWER_TIMEOUT_SECONDS = 20
MARGIN_SECONDS = 60.0
REMEDY = "it makes the load; `apt-get install wrk`, `brew install wrk`"


def find_wrk() -> str:
    """Return wrk's path; raises BenchmarkError when it is not installed."""
    return commands.find_program("wrk", REMEDY)


def wrk_arguments(
    wrk: str, url: str, body: Path, *, connections: int, seconds: float,
    content_type: str = JSON, prefer: str | None = None,
) -> list[str]:  # fmt: skip
    """Return wrk's command line; it takes whole seconds."""
    options = [
        "--threads", "1", "--connections", str(connections),
        "--duration", f"{max(1, round(seconds))}s", "--timeout", f"{ANSWER_TIMEOUT_SECONDS}s",
        "--script", str(SCRIPT),
    ]  # fmt: skip
    return [wrk, *options, url, "--", str(body), content_type, *([prefer] if prefer else [])]


def closed_loop(
    url: str, body: Path, *, connections: int, seconds: float, content_type: str = JSON,
    prefer: str | None = None,
) -> Load:  # fmt: skip
    """Load ``url`` from so many connections for so many seconds."""
    argv = wrk_arguments(
        find_wrk(), url, body, connections=connections, seconds=seconds,
        content_type=content_type, prefer=prefer,
    )  # fmt: skip
    return parse_output(commands.run(argv, timeout=seconds + MARGIN_SECONDS))


def parse_output(text: str) -> Load:
    """Return what the script printed as the last line of wrk's output."""
    seen = json.loads(text.strip().splitlines()[-1])
    failed = sum(seen.pop(kind) for kind in ("connect", "read", "write", "timeout"))
    return Load(failed=failed, **seen)
