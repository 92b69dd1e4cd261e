"""Where it was measured: what a reader needs to judge the figures."""

from __future__ import annotations

import os
import platform
import resource
from pathlib import Path

from benchmarks import commands
from benchmarks.environments import MODEL_REQUIREMENTS, requirement_files
from denzel.backends.local.redis_server import find_redis_server

GIB = 2**30
OPEN_FILES = 8192
SERVERS = ("fastapi", "litserve", "mosec", "runtime")


def describe_machine() -> dict[str, str]:
    """Return the machine, the system and the versions compared, by what they are called."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    processors = len(os.sched_getaffinity(0))
    return {
        "Machine": f"{processors} processors ({_processor()}), {memory:.0f} GiB",
        "System": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "Redis": commands.run([str(find_redis_server()), "--version"]).strip().split(" sha=")[0],
        "Servers": ", ".join(_pins()),
    }


def raise_file_limit() -> None:
    """Let this process and its children open a connection for each of 1,000 clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _pins() -> list[str]:
    files = [*(requirement_files(name)[0] for name in SERVERS), MODEL_REQUIREMENTS]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [line.replace("==", " ") for line in lines if "==" in line and not line.startswith("#")]
