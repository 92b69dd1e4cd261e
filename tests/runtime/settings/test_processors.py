"""How many processors a process may use: affinity, and control groups of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.runtime.settings import available_processors

EVERY_PROCESSOR = len(os.sched_getaffinity(0))


def membership(directory: Path, *lines: str) -> Path:
    """Write what /proc/self/cgroup would hold."""
    file = directory / "cgroup"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def write(directory: Path, **files: str) -> None:
    """Write a control group's files; ``_max`` stands for ``cpu.max``."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / f"cpu.{name}").write_text(f"{text}\n", encoding="ascii")


def test_without_control_groups_the_affinity_mask_counts(tmp_path: Path) -> None:
    assert available_processors(tmp_path, tmp_path / "missing") == EVERY_PROCESSOR


def test_a_process_bound_to_one_processor_has_one() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert available_processors() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", EVERY_PROCESSOR),
        ("100000 100000", 1),
        ("20000 100000", 1),
        ("110000 100000", min(2, EVERY_PROCESSOR)),
        ("100000000 100000", EVERY_PROCESSOR),
    ],
)
def test_a_quota_of_version_2_counts(tmp_path: Path, quota: str, expected: int) -> None:
    write(tmp_path, max=quota)
    assert available_processors(tmp_path, membership(tmp_path, "0::/")) == expected


def test_the_quota_of_an_outer_group_counts(tmp_path: Path) -> None:
    """Kubernetes limits a pod, systemd a slice, around the group of the process."""
    write(tmp_path / "pod", max="50000 100000")
    write(tmp_path / "pod" / "inner", max="max 100000")
    assert available_processors(tmp_path, membership(tmp_path, "0::/pod/inner")) == 1


def test_a_container_whose_group_is_named_as_on_the_host_finds_its_own(tmp_path: Path) -> None:
    write(tmp_path, max="100000 100000")
    assert available_processors(tmp_path, membership(tmp_path, "0::/docker/0a1b")) == 1


@pytest.mark.parametrize(
    ("controllers", "mounted"),
    [("cpu", "cpu"), ("cpu,cpuacct", "cpu"), ("cpu,cpuacct", "cpu,cpuacct")],
)
def test_a_quota_of_version_1_counts(tmp_path: Path, controllers: str, mounted: str) -> None:
    files = membership(tmp_path, "3:cpuset:/", f"2:{controllers}:/docker/0a1b", "0::/")
    write(tmp_path / mounted, cfs_quota_us="100000", cfs_period_us="100000")
    assert available_processors(tmp_path, files) == 1


def test_no_quota_of_version_1_is_no_limit(tmp_path: Path) -> None:
    write(tmp_path / "cpu", cfs_quota_us="-1", cfs_period_us="100000")
    assert available_processors(tmp_path, membership(tmp_path, "2:cpu:/")) == EVERY_PROCESSOR


def test_nonsense_is_no_limit(tmp_path: Path) -> None:
    write(tmp_path, max="nonsense")
    assert available_processors(tmp_path, membership(tmp_path, "0::/")) == EVERY_PROCESSOR
