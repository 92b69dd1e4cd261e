"""What an exception of a pipeline says about the GPU: its memory is full, or its context is lost.

Exceptions are told apart by the names of their types and by their messages, since the libraries
they come from may not be installed.
Sources: NVIDIA, CUDA Runtime API, cudaError_t; PyTorch, torch.AcceleratorError; AMD, hipError_t.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import suppress

from app.runtime.contract import text_of

from .devices import own_gpu

LIBRARIES = frozenset(
    {
        "cupy", "cupy_backends", "jax", "jaxlib", "numba", "onnxruntime", "pycuda", "tensorflow",
        "tensorrt", "torch",
    }
)  # fmt: skip
"""Whose exceptions tell of GPUs, besides RuntimeError."""

MEMORY_TYPES = frozenset({"OutOfMemoryError", "ResourceExhaustedError"})
_MEMORY = re.compile(
    r"(CUDA|HIP|MPS|GPU|XPU|RESOURCE_EXHAUSTED)\b.*out of memory"
    r"|(CUBLAS|CUDNN|CUSOLVER|CUSPARSE|HIPBLAS|MIOPEN)\w*_ALLOC\w*"
    r"|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|hipErrorOutOfMemory"
    r"|Failed to allocate memory for requested buffer"  # ONNX Runtime's
    r"|OOM when allocating tensor",  # TensorFlow's
    re.IGNORECASE | re.DOTALL,
)

_ABOUT_GPUS = re.compile(r"(?i:cuda|cublas|cudnn)|NCCL|\bcu[A-Z]|\bHIP\b|\bhip[A-Z]|GPU")
_LOST_CONTEXT = re.compile(
    r"device-side assert|illegal memory access|unspecified launch failure|misaligned address"
    r"|illegal instruction|invalid program counter|launch timed out"
    r"|operation not supported on global/shared address space|hardware stack error"
    r"|cudaErrorAssert|ERROR_ASSERT|IllegalAddress|ILLEGAL_ADDRESS|LaunchFailure|LAUNCH_FAILED"
    r"|LaunchTimeOut|LAUNCH_TIMEOUT|MISALIGNED_ADDRESS|ILLEGAL_INSTRUCTION"
)
"""After any of these, every further call in the process fails in the same way."""
_FAILED_DEVICE = re.compile(
    r"uncorrectable (ECC|NVLink) error|ECC_UNCORRECTABLE|ECCUncorrectable|NVLINK_UNCORRECTABLE"
    r"|GPU is lost|fallen off the bus|busy or unavailable|DEVICE_UNAVAILABLE|DevicesUnavailable"
    r"|no CUDA-capable device|no ROCm-capable device|hipErrorNoDevice|cudaErrorNoDevice"
    r"|\bXid\b"
)
"""The same, and no request can be the reason."""


class GpuContextLost(Exception):
    """The process can use its GPU no more, and must be replaced; the message says why."""


class GpuFailed(GpuContextLost):
    """The reason is the GPU, whatever the process was asked for."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a GPU's memory did not suffice."""
    return any(
        type(each).__name__ in MEMORY_TYPES or _MEMORY.search(text_of(each))
        for each in _with_causes(error)
    )


def lost_context(error: BaseException) -> GpuContextLost | None:
    """Return what an exception means for this process, if it lost its GPU's context.

    Whatever was raised, PyTorch is asked, too: what a GPU computes fails later than it was called
    for, often under another name, as CUBLAS_STATUS_EXECUTION_FAILED.
    """
    for each in (*_with_causes(error), *_pending_errors()):
        text = text_of(each)
        if not (_is_from_library(each) and _ABOUT_GPUS.search(text)):
            continue
        failed = _FAILED_DEVICE.search(text)
        if failed or _LOST_CONTEXT.search(text):
            first = text.strip().partition("\n")[0]
            said = f"{own_gpu() or 'GPU'}: {type(each).__name__}: {first}"
            return GpuFailed(said) if failed else GpuContextLost(said)
    return None


def free_memory() -> None:
    """Give back to the GPU what this process's libraries keep of its memory for later.

    To be called when the exception is no longer held, which holds what its frames hold.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    with suppress(RuntimeError, AttributeError):
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
    with suppress(RuntimeError, AttributeError):
        if torch is not None and torch.backends.mps.is_available():
            torch.mps.empty_cache()


def _pending_errors() -> Iterator[BaseException]:
    """Yield the error of what PyTorch had this process's GPU compute, if there is one."""
    torch = sys.modules.get("torch")
    try:
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()
    except (RuntimeError, AttributeError) as error:
        yield error


def _is_from_library(error: BaseException) -> bool:
    module = type(error).__module__.partition(".")[0]
    return type(error) is RuntimeError or module in LIBRARIES


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those it was raised from, or while handling which."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__
