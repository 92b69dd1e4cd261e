"""What exceptions say about a GPU; the messages are those of the libraries."""

from __future__ import annotations

import gc
import sys
import types
import weakref

import pytest

from app.runtime.gpus.errors import (
    GpuContextLost,
    GpuFailed,
    free_memory,
    is_out_of_memory,
    lost_context,
)


def of(module: str, name: str, base: type[BaseException] = RuntimeError) -> type[BaseException]:
    """Return an exception type as a library defines it."""
    return type(name, (base,), {"__module__": module})


OUT_OF_MEMORY = [
    of("torch", "OutOfMemoryError")(
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB"
    ),
    RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"),
    RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB, max allowed: 9.07 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    of("cupy.cuda.memory", "OutOfMemoryError", MemoryError)(
        "Out of memory allocating 8,000 bytes (allocated so far: 0 bytes)."
    ),
    of("tensorflow.python.framework.errors_impl", "ResourceExhaustedError", Exception)(
        "OOM when allocating tensor with shape[8,8] and type float on /device:GPU:0"
    ),
    of("jaxlib.xla_extension", "XlaRuntimeError")(
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 34359738368 bytes."
    ),
    of("onnxruntime.capi.onnxruntime_pybind11_state", "RuntimeException", Exception)(
        "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 1024"
    ),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: str(error)[:40])
def test_full_memory_is_recognised(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert lost_context(error) is None


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 8.00 GiB for an array with shape (1, 1)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        ValueError("the sentence is about CUDA and about memory"),
        RuntimeError("device-side assert"),
        ValueError("CUDA error: device-side assert triggered"),
        of("app.logic.pipeline", "Refused")("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: invalid configuration argument"),
        RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu!"),
        of("torch", "AcceleratorError")("CUDA error: invalid device ordinal"),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:50],
)
def test_what_is_the_users_own_is_nothing_of_the_gpus(error: BaseException) -> None:
    assert not is_out_of_memory(error)
    assert lost_context(error) is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be"),
         GpuContextLost),
        (of("torch", "AcceleratorError")("CUDA error: an illegal memory access was encountered"),
         GpuContextLost),
        (RuntimeError("CUDA error: unspecified launch failure"), GpuContextLost),
        (RuntimeError("CUDA error: misaligned address"), GpuContextLost),
        (RuntimeError("HIP error: unspecified launch failure"), GpuContextLost),
        (of("cupy_backends.cuda.api.runtime", "CUDARuntimeError")(
            "cudaErrorIllegalAddress: an illegal memory access was encountered"), GpuContextLost),
        (of("tensorflow.python.framework.errors_impl", "InternalError", Exception)(
            "Failed to copy: CUDA_ERROR_LAUNCH_FAILED"), GpuContextLost),
        (of("onnxruntime.capi.onnxruntime_pybind11_state", "Fail", Exception)(
            "CUDA failure 700: an illegal memory access was encountered ; GPU=0"), GpuContextLost),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), GpuFailed),
        (RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"), GpuFailed),
        (RuntimeError("No CUDA GPUs: GPU is lost, reboot the system to recover this GPU"),
         GpuFailed),
    ],
    ids=lambda each: str(each)[:40],
)  # fmt: skip
def test_a_lost_context_is_recognised(error: BaseException, kind: type[GpuContextLost]) -> None:
    lost = lost_context(error)
    assert type(lost) is kind
    assert str(lost) == f"GPU: {type(error).__name__}: {str(error).splitlines()[0]}"


def test_it_is_recognised_under_the_users_own_exception() -> None:
    try:
        try:
            raise RuntimeError("CUDA error: device-side assert triggered")
        except RuntimeError as error:
            raise ValueError("the class is not one of mine") from error
    except ValueError as error:
        assert "device-side assert" in str(lost_context(error))


def test_what_the_gpu_has_not_told_yet_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def synchronize() -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    cuda = types.SimpleNamespace(is_initialized=lambda: True, synchronize=synchronize)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    error = RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm")
    assert "device-side assert" in str(lost_context(error))
    cuda.is_initialized = lambda: False
    assert lost_context(error) is None


def test_freeing_memory_asks_torch_if_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    free_memory()
    calls: list[str] = []
    cuda = types.SimpleNamespace(
        is_initialized=lambda: True, empty_cache=lambda: calls.append("cuda")
    )
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    free_memory()
    assert calls == ["cuda"]


def test_freeing_memory_lets_go_of_cycles() -> None:
    class Node:
        itself: Node

    gc.disable()
    try:
        node = Node()
        node.itself = node
        seen = weakref.ref(node)
        del node
        free_memory()
        assert seen() is None
    finally:
        gc.enable()
