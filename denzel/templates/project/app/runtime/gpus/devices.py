"""Find the GPUs that the worker may use, and have a process see one of them alone.

NVIDIA's come from NVML, AMD's from the kernel; a Mac has one.  The variables by which CUDA and HIP
choose among a machine's GPUs choose among them here, too.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .nvml import Board, Nvml, NvmlError

CUDA_VARIABLE = "CUDA_VISIBLE_DEVICES"
HIP_VARIABLE = "HIP_VISIBLE_DEVICES"
ROCR_VARIABLE = "ROCR_VISIBLE_DEVICES"
OWN_GPU_VARIABLE = "DENZEL_GPU"
KFD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
"""Where Linux lists what AMD's driver computes with, processors included."""
END_OF_LIST = ("-1", "none", "void")
"""What ends a list of GPUs: to CUDA, any name that is no GPU's does."""

log = logging.getLogger("denzel.gpu")


class NoGpu(Exception):
    """There is no GPU to be used; the message says why, and what to do."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or an instance of one that is partitioned.

    ``variable`` is what shows it to a process, by ``id``; it is empty where nothing is to be
    chosen.  ``uuid`` is NVML's, empty where that does not know the GPU.
    """

    label: str
    id: str = ""
    variable: str = CUDA_VARIABLE
    name: str = ""
    uuid: str = ""

    def __str__(self) -> str:
        """Say it as people call it."""
        return f"{self.label} ({self.name})" if self.name else self.label


def find_gpus() -> list[Gpu]:
    """Return the GPUs this process may use, each once.  Raises NoGpu when there is none."""
    if sys.platform == "darwin":
        return [Gpu("GPU", variable="", name="Apple")]
    for variable in (HIP_VARIABLE, ROCR_VARIABLE):
        if (chosen := os.environ.get(variable)) is not None:
            return _chosen_from_amd(variable, chosen)
    chosen = os.environ.get(CUDA_VARIABLE)
    try:
        with Nvml() as nvml:
            boards = nvml.boards()
    except NvmlError as error:
        if chosen is not None:  # CUDA itself will find out what is there
            return [Gpu(f"GPU {each}", each) for each in _names(CUDA_VARIABLE, chosen)]
        if gpus := _amd_gpus():
            return gpus
        raise NoGpu(
            f"GPU=1 in .env, but no GPU is found: {error}; install its driver (in Docker, see "
            "`denzel doctor`), or set GPU=0"
        ) from error
    if chosen is not None and chosen.strip().lower() != "all":
        named = [_named(name, boards) for name in _names(CUDA_VARIABLE, chosen)]
        boards = list(dict.fromkeys(named))
    gpus = list(dict.fromkeys(gpu for board in boards for gpu in _gpus_of(board)))
    if not gpus:
        raise NoGpu(f"GPU=1 in .env, but no GPU can be used: {_why_none(boards)}")
    for board in boards:
        if board.problem:
            log.error("GPU %d cannot be used, but the others are: %s", board.number, board.problem)
    return gpus


def show_alone(gpu: Gpu) -> None:
    """Have this process, and those started from it, see one GPU alone, as their first.

    It must not have used a GPU yet.
    """
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as nvidia-smi counts
    if gpu.variable:
        os.environ[gpu.variable] = gpu.id
    os.environ[OWN_GPU_VARIABLE] = json.dumps(asdict(gpu))


def own_gpu() -> Gpu | None:
    """Return the GPU that this process was shown; None without any."""
    text = os.environ.get(OWN_GPU_VARIABLE)
    return Gpu(**json.loads(text)) if text else None


def why_lost(gpu: Gpu) -> str:
    """Return why a GPU that was there cannot be used any more; empty when it can, for all known."""
    if not gpu.uuid:
        return ""
    try:
        with Nvml() as nvml:
            return nvml.read(gpu.uuid).problem
    except NvmlError:
        return ""


def _names(variable: str, chosen: str) -> list[str]:
    """Return the names in a list of GPUs, each once.  Raises NoGpu when there is none."""
    names: list[str] = []
    for name in chosen.split(","):
        if name.strip().lower() in END_OF_LIST:
            break
        names += [name.strip()] if name.strip() else []
    if not names:
        raise NoGpu(f"GPU=1 in .env, but {variable}={chosen} hides every GPU; remove that line")
    return list(dict.fromkeys(names))


def _gpus_of(board: Board) -> list[Gpu]:
    """Return what CUDA can use of a GPU: of a partitioned one, its instances."""
    label = f"GPU {board.number}"
    if board.problem:
        return []
    if not board.is_partitioned:
        return [Gpu(label, board.uuid, name=board.name, uuid=board.uuid)]
    return [
        Gpu(f"{label} MIG {each.place}", each.uuid, name=each.name, uuid=each.uuid)
        for each in board.instances
    ]


def _named(name: str, boards: Sequence[Board]) -> Board:
    """Return what a name in CUDA_VISIBLE_DEVICES stands for.  Raises NoGpu when it is not there.

    That is an index, or the UUID, or the beginning of one, of a GPU or an instance, which is
    returned as the only one of its GPU; or MIG-GPU-UUID/1/0, as drivers before 470 called one.
    Source: NVIDIA, CUDA C++ Programming Guide and MIG User Guide.
    """
    found = []
    for board in boards:
        if name == str(board.number) or _begins(board.uuid, name, "GPU-"):
            found.append(board)
        found += [
            board._replace(instances=(each,))
            for each in board.instances
            if _begins(each.uuid, name, "MIG-") or name == f"MIG-{board.uuid}/{each.place}"
        ]
    if len(found) == 1:
        return found[0]
    what = "names more than one GPU" if found else "is not here"
    there = "; ".join(f"{gpu}, {gpu.uuid}" for board in boards for gpu in _gpus_of(board))
    raise NoGpu(f"{CUDA_VARIABLE} in .env: {name} {what}; there is {there or 'none'}")


def _begins(uuid: str, name: str, kind: str) -> bool:
    return name.startswith(kind) and len(name) > len(kind) and uuid.startswith(name)


def _why_none(boards: Sequence[Board]) -> str:
    if boards:
        return "; ".join(f"GPU {board.number}: {board.problem}" for board in boards)
    shown = os.environ.get("NVIDIA_VISIBLE_DEVICES")
    hidden = f"; NVIDIA_VISIBLE_DEVICES is {shown!r}" if shown is not None else ""
    return f"NVIDIA's driver shows none{hidden}"


def _chosen_from_amd(variable: str, chosen: str) -> list[Gpu]:
    """Return the GPUs that a variable of AMD's leaves; HIP counts those that ROCr leaves."""
    names = _names(variable, chosen)
    if variable == ROCR_VARIABLE:
        names = [str(index) for index in range(len(names))]
    return [Gpu(f"GPU {each}", each, HIP_VARIABLE, "AMD") for each in names]


def _amd_gpus() -> list[Gpu]:
    """Return AMD's GPUs by the kernel's account: the nodes that have vector units.

    Source: Linux, drivers/gpu/drm/amd/amdkfd/kfd_topology.c
    """
    count = 0
    for properties in KFD_NODES.glob("*/properties"):
        lines = properties.read_text(encoding="ascii", errors="replace").splitlines()
        values = dict(line.split(maxsplit=1) for line in lines if " " in line)
        count += values.get("simd_count", "0") != "0"
    return [Gpu(f"GPU {index}", str(index), HIP_VARIABLE, "AMD") for index in range(count)]
