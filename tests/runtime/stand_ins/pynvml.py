"""Stands in for nvidia-ml-py where there is no GPU: the file $TEST_GPUS says what there is.

It holds a list of GPUs as JSON: ``uuid``, ``name``, ``total``, ``used``, ``busy``, and ``lost`` for
one that is.  ``reserved`` is what the driver keeps of its memory, which one that ``is_old`` counts
as used.  ``instances`` are those of one with MIG, each with ``uuid``, ``name`` and ``place``.
Without the file there is no driver.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NVML_ERROR_NOT_SUPPORTED = 3
NVML_ERROR_NOT_FOUND = 6
NVML_ERROR_LIBRARY_NOT_FOUND = 12
NVML_ERROR_FUNCTION_NOT_FOUND = 13
NVML_ERROR_GPU_IS_LOST = 15
NVML_ERROR_RESET_REQUIRED = 16
NVML_ERROR_GPU_NOT_FOUND = 28
NVML_DEVICE_MIG_ENABLE = 1
nvmlMemory_v2 = 0x02000028
TEXTS = {
    NVML_ERROR_NOT_SUPPORTED: "Not Supported",
    NVML_ERROR_NOT_FOUND: "Not Found",
    NVML_ERROR_LIBRARY_NOT_FOUND: "NVML Shared Library Not Found",
    NVML_ERROR_FUNCTION_NOT_FOUND: "Function Not Found",
    NVML_ERROR_GPU_IS_LOST: "GPU is lost",
}

Handle = dict[str, Any]


class NVMLError(Exception):
    """What NVML answers instead."""

    def __init__(self, value: int) -> None:
        super().__init__(TEXTS[value])
        self.value = value


class NVMLError_NotSupported(NVMLError):
    """A GPU cannot tell."""


class NVMLError_FunctionNotFound(NVMLError):
    """A driver cannot tell."""


def _boards() -> list[Handle]:
    file = Path(os.environ.get("TEST_GPUS", "/nowhere"))
    if not file.exists():
        raise NVMLError(NVML_ERROR_LIBRARY_NOT_FOUND)
    return list(json.loads(file.read_text(encoding="utf-8")))


def nvmlInit() -> None:
    _boards()


def nvmlShutdown() -> None:
    pass


def nvmlDeviceGetCount() -> int:
    return len(_boards())


def nvmlDeviceGetHandleByIndex(index: int) -> Handle:
    return _unless_lost(_boards()[index])


def nvmlDeviceGetHandleByUUID(uuid: str) -> Handle:
    for board in _boards():
        for each in (board, *board.get("instances", ())):
            if each["uuid"] == uuid:
                return {"lost": board.get("lost"), **each}
    raise NVMLError(NVML_ERROR_NOT_FOUND)


def nvmlDeviceGetUUID(handle: Handle) -> str:
    return str(handle["uuid"])


def nvmlDeviceGetName(handle: Handle) -> str:
    return str(handle["name"])


def nvmlDeviceGetMemoryInfo(handle: Handle, version: int | None = None) -> SimpleNamespace:
    """Count what the driver keeps for itself as used, in the first version."""
    _unless_lost(handle)
    if version and handle.get("is_old"):
        raise NVMLError(NVML_ERROR_FUNCTION_NOT_FOUND)
    reserved = 0 if version else handle.get("reserved", 0)
    return SimpleNamespace(total=handle["total"], used=handle["used"] + reserved)


def nvmlDeviceGetUtilizationRates(handle: Handle) -> SimpleNamespace:
    if "busy" not in _unless_lost(handle):
        raise NVMLError_NotSupported(NVML_ERROR_NOT_SUPPORTED)
    return SimpleNamespace(gpu=handle["busy"], memory=0)


def nvmlDeviceGetMigMode(handle: Handle) -> list[int]:
    if "instances" not in handle:
        raise NVMLError_NotSupported(NVML_ERROR_NOT_SUPPORTED)
    return [NVML_DEVICE_MIG_ENABLE, NVML_DEVICE_MIG_ENABLE]


def nvmlDeviceGetMaxMigDeviceCount(handle: Handle) -> int:
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(handle: Handle, index: int) -> Handle:
    if index >= len(handle["instances"]):
        raise NVMLError(NVML_ERROR_NOT_FOUND)
    return dict(handle["instances"][index])


def nvmlDeviceGetGpuInstanceId(handle: Handle) -> int:
    return int(handle["place"][0])


def nvmlDeviceGetComputeInstanceId(handle: Handle) -> int:
    return int(handle["place"][1])


def _unless_lost(handle: Handle) -> Handle:
    if handle.get("lost"):
        raise NVMLError(NVML_ERROR_GPU_IS_LOST)
    return handle
