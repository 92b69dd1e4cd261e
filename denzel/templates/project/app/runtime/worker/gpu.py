"""GPUs: which ones this machine shows, and which one a worker process gets."""

from __future__ import annotations

import os
import shutil
import subprocess

GPUS_VARIABLE = "DENZEL_GPUS"


def visible_gpus() -> list[str]:
    """Return the GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu for gpu in chosen.split(",") if gpu.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=uuid", "--format=csv,noheader"]
    listing = subprocess.run(command, capture_output=True, text=True)
    return listing.stdout.split() if listing.returncode == 0 else []


def share_gpus(gpus: list[str]) -> None:
    """Name the GPUs to the processes that will be started."""
    os.environ[GPUS_VARIABLE] = ",".join(gpus)


def use_own_gpu(index: int) -> str:
    """Show this process one GPU alone, as its first and only device; return its name.

    Without GPU=1 nothing is changed, and the name is empty.
    """
    gpus = [gpu for gpu in os.environ.get(GPUS_VARIABLE, "").split(",") if gpu]
    if not gpus:
        return ""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    return os.environ["CUDA_VISIBLE_DEVICES"]
