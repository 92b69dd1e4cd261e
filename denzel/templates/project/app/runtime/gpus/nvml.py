"""NVIDIA's GPUs as the driver tells of them, by NVML (package nvidia-ml-py, module ``pynvml``).

NVML opens no CUDA context, so the worker's main process may ask it.
Source: NVIDIA, NVML API Reference Guide.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any, NamedTuple

NO_INSTANCE = "MIG is enabled, without any instance; `nvidia-smi mig -cgi` makes some"


class NvmlError(Exception):
    """NVML cannot be asked; the message says why."""


class Instance(NamedTuple):
    """A part of a GPU that is partitioned (MIG); ``place`` is its two ids, as in 1/0."""

    uuid: str
    name: str
    place: str


class Board(NamedTuple):
    """A GPU; ``number`` is its index to nvidia-smi, in the order of the PCI bus.

    ``problem`` is why it cannot be used, empty when it can.
    """

    number: int
    uuid: str = ""
    name: str = ""
    is_partitioned: bool = False
    instances: tuple[Instance, ...] = ()
    problem: str = ""


class Reading(NamedTuple):
    """A GPU at one moment, memory in bytes; None for what the driver does not tell of it.

    ``problem`` is why it cannot be used any more, empty while it can.
    """

    memory_used: int | None = None
    memory_total: int | None = None
    utilization_percent: int | None = None
    problem: str = ""


class Nvml:
    """A session with NVML: ``with Nvml() as nvml``.  Raises NvmlError where there is none."""

    def __init__(self) -> None:
        try:
            self._api = importlib.import_module("pynvml")
        except ImportError as error:
            raise NvmlError("the package nvidia-ml-py is not installed") from error

    def __enter__(self) -> Nvml:
        """Load the driver's library; may take seconds where no program uses a GPU yet."""
        try:
            self._api.nvmlInit()
        except self._api.NVMLError as error:
            raise NvmlError(f"NVIDIA's driver does not answer ({error})") from error
        return self

    def __exit__(self, *_: object) -> None:
        """End the session."""
        with suppress(self._api.NVMLError):
            self._api.nvmlShutdown()

    def boards(self) -> list[Board]:
        """Return the GPUs that this process is shown, those that cannot be used included."""
        try:
            count = self._api.nvmlDeviceGetCount()
        except self._api.NVMLError as error:
            raise NvmlError(f"NVIDIA's driver does not list its GPUs ({error})") from error
        found = []
        for index in range(count):
            try:
                found.append(self._board(index))
            except self._api.NVMLError as error:
                found.append(Board(index, problem=str(error)))
        return found

    def read(self, uuid: str) -> Reading:
        """Return memory and use of a GPU or an instance."""
        api = self._api
        try:
            handle = api.nvmlDeviceGetHandleByUUID(uuid)
        except api.NVMLError as error:
            gone = (api.NVML_ERROR_NOT_FOUND, api.NVML_ERROR_GPU_NOT_FOUND)
            return Reading(problem=self._problem(error, *gone))
        used = total = busy = None
        try:
            with suppress(api.NVMLError_NotSupported):
                memory = self._memory(handle)
                used, total = memory.used, memory.total
            with suppress(api.NVMLError_NotSupported):  # as of an instance
                busy = api.nvmlDeviceGetUtilizationRates(handle).gpu
        except api.NVMLError as error:
            return Reading(used, total, busy, self._problem(error))
        return Reading(used, total, busy)

    def _memory(self, handle: Any) -> Any:
        """Return memory as nvidia-smi shows it, without what the driver keeps for itself.

        Drivers before 510, whose library lacks this version, count that as used.
        """
        api = self._api
        try:
            return api.nvmlDeviceGetMemoryInfo(handle, api.nvmlMemory_v2)
        except api.NVMLError as error:
            if error.value not in (api.NVML_ERROR_FUNCTION_NOT_FOUND, api.NVML_ERROR_NOT_SUPPORTED):
                raise
            return api.nvmlDeviceGetMemoryInfo(handle)

    def _problem(self, error: Any, *more: int) -> str:
        """Return what an error says, if it says that the GPU is gone.

        Others do not: "Unknown Error" is what NVML answers in a container whose devices systemd
        has taken from it, while processes go on with them.
        """
        gone = (self._api.NVML_ERROR_GPU_IS_LOST, self._api.NVML_ERROR_RESET_REQUIRED, *more)
        return str(error) if error.value in gone else ""

    def _board(self, index: int) -> Board:
        api = self._api
        handle = api.nvmlDeviceGetHandleByIndex(index)
        is_partitioned = False
        with suppress(api.NVMLError_NotSupported, api.NVMLError_FunctionNotFound):
            is_partitioned = api.nvmlDeviceGetMigMode(handle)[0] == api.NVML_DEVICE_MIG_ENABLE
        instances = self._instances(handle) if is_partitioned else ()
        problem = "" if instances or not is_partitioned else NO_INSTANCE
        uuid, name = api.nvmlDeviceGetUUID(handle), api.nvmlDeviceGetName(handle)
        return Board(index, uuid, name, is_partitioned, instances, problem)

    def _instances(self, board: Any) -> tuple[Instance, ...]:
        api = self._api
        found = []
        for number in range(api.nvmlDeviceGetMaxMigDeviceCount(board)):
            with suppress(api.NVMLError):  # there may be fewer
                handle = api.nvmlDeviceGetMigDeviceHandleByIndex(board, number)
                ids = (
                    api.nvmlDeviceGetGpuInstanceId(handle),
                    api.nvmlDeviceGetComputeInstanceId(handle),
                )
                found.append(
                    Instance(
                        api.nvmlDeviceGetUUID(handle),
                        api.nvmlDeviceGetName(handle),
                        "/".join(map(str, ids)),
                    )
                )
        return tuple(found)
