"""A pipeline on a GPU that fails as it is told, with the exceptions of torch.

``memory`` is what a request needs of the GPU, of which there are 4; ``seconds`` is how long a batch
takes at least; ``fault`` names an error after which every further call in the process fails:
``assert``, which the request causes, or ``ECC``, which comes once.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

MEMORY = 4
FAULTS = {
    "assert": "CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`",
    "ECC": "CUDA error: uncorrectable ECC error encountered",
}


class OutOfMemoryError(RuntimeError):
    """torch.OutOfMemoryError."""


class AcceleratorError(RuntimeError):
    """torch.AcceleratorError."""


OutOfMemoryError.__module__ = AcceleratorError.__module__ = "torch"

state: dict[str, Any] = {"fault": ""}


def note(event: str) -> None:
    """Append what this process does to the trace."""
    names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
    line = {"event": event, "pid": os.getpid(), **{name: os.environ.get(name) for name in names}}
    with Path("trace.jsonl").open("a", encoding="utf-8") as trace:
        trace.write(json.dumps(line) + "\n")


note("import")


def is_first() -> bool:
    """Tell whether nobody has asked yet, in any process."""
    try:
        Path("asked").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def verify_input(json_data: Any) -> Any:
    """Accept everything."""
    return json_data


def load_model() -> Any:
    """Take as long as the file seconds.txt says."""
    note("load")
    time.sleep(float(Path("seconds.txt").read_text(encoding="ascii")))
    return os.getpid()


def process(model: Any, json_data: Any) -> Any:
    """Pass it on."""
    return json_data


def predict(model: Any, data: Any) -> Any:
    """Be one of a batch."""
    return predict_batch(model, [data])[0]


def predict_batch(model: Any, batch: list[Any]) -> list[Any]:
    """Answer with the process that does; fail as a GPU does."""
    time.sleep(max(data.get("seconds", 0) for data in batch))
    for data in batch:
        if data.get("fault") == "assert" or (data.get("fault") == "ECC" and is_first()):
            state["fault"] = FAULTS[data["fault"]]
    if state["fault"]:
        raise AcceleratorError(state["fault"])
    if sum(data.get("memory", 0) for data in batch) > MEMORY:
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
    return [
        {"pid": os.getpid(), "loader": model, "gpu": os.environ["CUDA_VISIBLE_DEVICES"]}
        for _ in batch
    ]
