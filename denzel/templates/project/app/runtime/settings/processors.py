"""How many processors this process may use: its affinity mask, and its control group's quota."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUP_MOUNT = Path("/sys/fs/cgroup")
CGROUP_OF_PROCESS = Path("/proc/self/cgroup")


def available_processors(mount: Path = CGROUP_MOUNT, membership: Path = CGROUP_OF_PROCESS) -> int:
    """Return how many processors this process may use, at least 1.

    A container limited with ``docker run --cpus`` sees every processor of its machine, but is
    stopped for the rest of each period once it has used its quota.  A part of a processor counts
    as a whole one, as for Java and .NET.  ``mount`` and ``membership`` are where the kernel shows
    control groups (Linux's admin-guide/cgroup-v2.rst, "cpu.max", and scheduler/sched-bwc.rst).
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quotas = [quota for group in _groups(mount, membership) if (quota := _quota(group))]
    return max(1, min([allowed, *(math.ceil(quota) for quota in quotas)]))


def _groups(mount: Path, membership: Path) -> Iterator[Path]:
    """Yield the directories of this process's CPU control groups, innermost first.

    Inside a container the path of its group is often that on the host, which is not mounted there;
    the group itself is then the mount's root.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            root = mount  # version 2
        elif "cpu" in controllers.split(","):
            root = mount / controllers if (mount / controllers).is_dir() else mount / "cpu"
        else:
            continue
        group = root / path.lstrip("/")
        yield from (each for each in (group, *group.parents) if each.is_relative_to(root))


def _quota(group: Path) -> float | None:
    """Return how many processors' time a control group may use; None for no limit."""
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota = (group / "cpu.cfs_quota_us").read_text(encoding="utf-8")
        period = (group / "cpu.cfs_period_us").read_text(encoding="utf-8")
        return None if int(quota) <= 0 else int(quota) / int(period)
    return None
