"""Which GPUs are found, and which of them the variables choose."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.runtime.gpus import devices
from app.runtime.gpus.devices import Gpu, NoGpu, find_gpus, own_gpu, show_alone, why_lost
from app.runtime.gpus.nvml import Nvml, Reading

VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES", "DENZEL_GPU", "TEST_GPUS",
)  # fmt: skip
STAND_INS = Path(__file__).parents[1] / "stand_ins"
H100: dict[str, Any] = {"name": "NVIDIA H100", "total": 80, "used": 1, "busy": 5}
MIG: dict[str, Any] = {"name": "NVIDIA A100 MIG 3g.20gb", "total": 20, "used": 2}
BOARDS = [
    {**H100, "uuid": "GPU-aa11-0"},
    {**H100, "uuid": "GPU-bb22-1", "name": "NVIDIA A100", "instances": [
        {**MIG, "uuid": "MIG-cc33-5", "place": [1, 0]},
        {**MIG, "uuid": "MIG-cd44-6", "place": [2, 0]},
    ]},
    {**H100, "uuid": "GPU-aa55-2"},
]  # fmt: skip
ALL = ["GPU-aa11-0", "MIG-cc33-5", "MIG-cd44-6", "GPU-aa55-2"]

Machine = Callable[..., None]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """Return what gives this machine GPUs; it has none, whatever else it has."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(str(STAND_INS))
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.setattr(devices, "KFD_NODES", tmp_path / "kfd")

    def has(boards: list[dict[str, Any]], **variables: str) -> None:
        file = tmp_path / "gpus.json"
        file.write_text(json.dumps(boards), encoding="utf-8")
        monkeypatch.setenv("TEST_GPUS", str(file))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return has


def test_each_gpu_counts_and_of_a_partitioned_one_each_instance(machine: Machine) -> None:
    machine(BOARDS)
    found = find_gpus()
    assert [each.id for each in found] == ALL
    assert [str(each) for each in found] == [
        "GPU 0 (NVIDIA H100)", "GPU 1 MIG 1/0 (NVIDIA A100 MIG 3g.20gb)",
        "GPU 1 MIG 2/0 (NVIDIA A100 MIG 3g.20gb)", "GPU 2 (NVIDIA H100)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [
        ("all", ALL),
        ("2, 0", ["GPU-aa55-2", "GPU-aa11-0"]),
        ("1", ["MIG-cc33-5", "MIG-cd44-6"]),
        ("GPU-aa5", ["GPU-aa55-2"]),
        ("GPU-bb22-1", ["MIG-cc33-5", "MIG-cd44-6"]),
        ("MIG-cd44-6,0", ["MIG-cd44-6", "GPU-aa11-0"]),
        ("MIG-cd", ["MIG-cd44-6"]),
        ("MIG-GPU-bb22-1/2/0", ["MIG-cd44-6"]),
        ("0,0,GPU-aa11-0", ["GPU-aa11-0"]),
        ("0,-1,2", ["GPU-aa11-0"]),
        ("0,,2", ["GPU-aa11-0", "GPU-aa55-2"]),
    ],
)
def test_cuda_visible_devices_chooses(machine: Machine, chosen: str, ids: list[str]) -> None:
    machine(BOARDS, CUDA_VISIBLE_DEVICES=chosen)
    assert [each.id for each in find_gpus()] == ids


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("3", "3 is not here"),
        ("GPU-ff", "GPU-ff is not here"),
        ("GPU-", "GPU- is not here"),
        ("GPU-aa", "GPU-aa names more than one GPU"),
        ("MIG-c", "MIG-c names more than one GPU"),
        ("MIG-GPU-bb22-1/7/0", "MIG-GPU-bb22-1/7/0 is not here"),
        ("two", "two is not here"),
        ("0;2", "0;2 is not here; there is GPU 0 (NVIDIA H100), GPU-aa11-0; "),
        ("", "hides every GPU"),
        ("-1", "hides every GPU"),
        ("none", "hides every GPU"),
    ],
)
def test_a_gpu_that_is_not_there_is_named(machine: Machine, chosen: str, message: str) -> None:
    machine(BOARDS, CUDA_VISIBLE_DEVICES=chosen)
    with pytest.raises(NoGpu, match="CUDA_VISIBLE_DEVICES") as refusal:
        find_gpus()
    assert message in str(refusal.value)


def test_without_a_driver_it_is_said_what_to_do() -> None:
    with pytest.raises(NoGpu, match=r"Library Not Found.*; install its driver .* or set GPU=0"):
        find_gpus()


def test_without_nvml_what_was_chosen_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 7,5,-1,8")
    assert find_gpus() == [Gpu("GPU 5", "5"), Gpu("GPU 7", "7")]


def test_what_a_container_was_not_given_is_named(machine: Machine) -> None:
    machine([], NVIDIA_VISIBLE_DEVICES="void")
    with pytest.raises(NoGpu, match="NVIDIA_VISIBLE_DEVICES is 'void'"):
        find_gpus()
    machine([{**BOARDS[1], "instances": []}])
    with pytest.raises(NoGpu, match="MIG is enabled, without any instance"):
        find_gpus()


def test_amds_gpus_are_those_the_kernel_lists(tmp_path: Path) -> None:
    for node, units in enumerate((0, 304, 304)):  # the first one is the processor
        directory = tmp_path / "kfd" / str(node)
        directory.mkdir(parents=True)
        properties = f"cpu_cores_count {0 if units else 64}\nsimd_count {units}\n"
        (directory / "properties").write_text(properties, encoding="ascii")
    found = find_gpus()
    assert [(each.id, each.variable) for each in found] == [
        ("0", "HIP_VISIBLE_DEVICES"), ("1", "HIP_VISIBLE_DEVICES"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "ids"),
    [("HIP_VISIBLE_DEVICES", ["3", "1"]), ("ROCR_VISIBLE_DEVICES", ["0", "1"])],
)
def test_amds_own_variables_choose(
    monkeypatch: pytest.MonkeyPatch, variable: str, ids: list[str]
) -> None:
    monkeypatch.setenv(variable, "3,1")
    found = find_gpus()
    assert [each.id for each in found] == ids
    assert {each.variable for each in found} == {"HIP_VISIBLE_DEVICES"}


def test_a_mac_has_one_and_nothing_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert [(each.variable, str(each)) for each in find_gpus()] == [("", "GPU (Apple)")]


def test_a_process_knows_the_one_it_sees(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_gpu() is None
    machine(BOARDS, CUDA_VISIBLE_DEVICES="0,2", CUDA_DEVICE_ORDER="FASTEST_FIRST", DENZEL_GPU="")
    gpu = find_gpus()[1]
    show_alone(gpu)
    assert own_gpu() == gpu
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-aa55-2"
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_a_lost_gpu_is_left_out_and_told_of(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine(BOARDS, CUDA_VISIBLE_DEVICES="all")
    gpu = find_gpus()[0]
    assert why_lost(gpu) == ""
    machine([{**BOARDS[0], "lost": True}, *BOARDS[1:]])
    assert why_lost(gpu) == "GPU is lost"
    assert [each.id for each in find_gpus()] == ALL[1:]
    assert "GPU 0 cannot be used, but the others are: GPU is lost" in caplog.text
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,2"
    assert [each.id for each in find_gpus()] == ALL[3:]
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    with pytest.raises(NoGpu, match="no GPU can be used: GPU 0: GPU is lost"):
        find_gpus()
    machine(BOARDS[1:])  # after a restart of the driver
    assert why_lost(gpu) == "Not Found"


def test_memory_and_use_are_read_as_far_as_they_are_told(machine: Machine) -> None:
    machine(BOARDS)
    with Nvml() as nvml:
        assert nvml.read("GPU-aa11-0") == Reading(1, 80, 5)
        assert nvml.read("MIG-cc33-5") == Reading(2, 20, None)


def test_what_the_driver_keeps_of_the_memory_is_not_in_use_as_nvidia_smi_has_it(
    machine: Machine,
) -> None:
    machine([{**BOARDS[0], "reserved": 7}, {**BOARDS[2], "reserved": 7, "is_old": True}])
    with Nvml() as nvml:
        assert nvml.read("GPU-aa11-0").memory_used == 1
        assert nvml.read("GPU-aa55-2").memory_used == 8
