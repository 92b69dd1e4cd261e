"""Threads of numerical libraries: how many they may start, and which ones did.

A process that forks takes no thread but the forking one along.  Libraries that keep threads
(OpenMP, TensorFlow, ONNX Runtime) wait for theirs in the forked process, for ever.
"""

from __future__ import annotations

import gc
import os
import re
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",  # OpenMP: PyTorch, scikit-learn, LightGBM, XGBoost, Arrow
    "OPENBLAS_NUM_THREADS",  # NumPy and SciPy from PyPI
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",  # Apple's Accelerate
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",  # Hugging Face's tokenizers
    "POLARS_MAX_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "ORT_INTRA_OP_NUM_THREADS",  # ONNX Runtime 1.32; older ones read none
    "ORT_INTER_OP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "LOKY_MAX_CPU_COUNT",  # joblib: scikit-learn's n_jobs=-1, LightGBM's n_jobs=None
)
"""What libraries read, when they are imported, to know how many threads to start."""

FIXED_VARIABLES = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime 1.32 keeps a thread for it from its import on
}

OPENMP_USERS = ("lightgbm", "xgboost", "catboost", "torch", "sklearn", "faiss", "numba")
SETTLE_SECONDS = 1.0
"""How long threads that are about to end, such as a closed pool's, are waited for."""
STACK_BYTES = 4096
_TASKS = Path("/proc/self/task")
_OPENMP = re.compile(r"lib(g|i)?omp\d*[-.]")
_OF_EVERYBODY = re.compile(r"(ld-linux|libc|libpthread|libm|libstdc\+\+|libgcc_s|libpython)[-.\d]")


def limit_threads(count: int) -> None:
    """Have libraries imported from now on start ``count`` threads, where the user has not said.

    OpenMP's threads are told to sleep when they have nothing to do.  By default they spin for a
    while, which takes the processors away from the API, Redis and other worker processes: LightGBM
    with two threads on two busy processors answered 29 requests a second so, and 478 with this.
    """
    for name, value in {**dict.fromkeys(THREAD_VARIABLES, str(count)), **FIXED_VARIABLES}.items():
        if not os.environ.get(name):
            os.environ[name] = value


def why_not_forkable() -> str:
    """Return why this process must not be forked, such as which library started threads.

    Empty when it has one thread, and so may be.
    """
    if not _TASKS.exists():
        return "threads cannot be counted on this system"
    gc.collect()  # pools that nobody refers to any more end their threads
    deadline = time.monotonic() + SETTLE_SECONDS
    while _count() > 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    return describe_threads(thread_owners())


def thread_owners() -> list[str]:
    """Return who started each thread but the main one, "" where that cannot be told."""
    named = {each.native_id: each.name for each in threading.enumerate()}
    numbers = sorted(int(each.name) for each in _TASKS.iterdir())
    libraries = _executable_mappings()
    return [
        f"Python ({named[number]})" if number in named else _owner(number, libraries)
        for number in numbers
        if number != os.getpid()
    ]


def describe_threads(owners: Sequence[str]) -> str:
    """Return one sentence on who started how many threads; empty for none."""
    if not owners:
        return ""
    count = "1 thread" if len(owners) == 1 else f"{len(owners)} threads"
    names = [name for name, _ in Counter(filter(None, owners)).most_common()]
    if not names:
        return f"{count} {'was' if len(owners) == 1 else 'were'} started while the model was loaded"
    everybody = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"{everybody} started {count} while the model was loaded"


def _count() -> int:
    return sum(1 for _ in _TASKS.iterdir())


_Mapping = tuple[int, int, str]


def _executable_mappings() -> list[_Mapping]:
    """Return where the code of each shared library lies: first address, last address, file."""
    found = []
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):
            first, last = (int(number, 16) for number in fields[0].split("-"))
            found.append((first, last, fields[5]))
    return found


def _owner(number: int, libraries: Sequence[_Mapping]) -> str:
    """Return the library whose code a waiting thread is in, by the addresses on its stack.

    The thread's last system call tells its stack and instruction pointers (proc(5)).  The stack is
    read as a file, because the thread may end meanwhile.
    """
    with suppress(OSError, ValueError, IndexError, struct.error):
        fields = (_TASKS / str(number) / "syscall").read_text(encoding="ascii").split()
        stack, instruction = int(fields[-2], 16), int(fields[-1], 16)
        memory = os.open("/proc/self/mem", os.O_RDONLY)
        try:
            words = os.pread(memory, STACK_BYTES, stack)
        finally:
            os.close(memory)
        count = len(words) // 8
        for address in (instruction, *struct.unpack(f"{count}Q", words[: count * 8])):
            for first, last, file in libraries:
                if first <= address < last and (name := _package(file)):
                    return name
    return ""


def _package(file: str) -> str:
    """Return the package a shared library belongs to; "" for what every package uses."""
    name = file.rpartition("/")[2]
    if _OPENMP.match(name):
        users = [each for each in OPENMP_USERS if each in sys.modules]
        return f"OpenMP ({', '.join(users)})" if users else "OpenMP"
    if _OF_EVERYBODY.match(name) or file == os.path.realpath(sys.executable):
        return ""
    _, _, inside = file.partition("/site-packages/")
    return inside.split("/")[0].removesuffix(".libs") if inside else name.split(".so")[0]
