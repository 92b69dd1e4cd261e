"""A pipeline that does in predict what an ordinary process may do: children, chance, waiting."""

import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

FAILS = "TEST_LOAD_FAILS"


def square(number: int) -> int:
    """Run in a child."""
    return number * number


def sleep_for_ever(started: str) -> None:
    """Run in a child, deaf to SIGTERM."""
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(started).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(3600)


def verify_input(json_data: Any) -> Any:
    """Accept."""
    return json_data


def load_model() -> Any:
    """Load nothing; raise or take long if told to."""
    time.sleep(float(os.environ.get("TEST_LOAD_SECONDS", "0")))
    if FAILS in os.environ and "MainProcess" not in multiprocessing.current_process().name:
        raise OSError("no such model")
    np.random.seed(1)
    random.seed(1)


def process(model: Any, json_data: Any) -> Any:
    """Hand on."""
    return json_data


def predict(model: Any, data: Any) -> Any:
    """Do what is asked."""
    return {"pid": os.getpid(), "result": DO[data["do"]](data)}


def executor(context: str) -> list[int]:
    """Compute in an executor's processes."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(context)) as processes:
        return list(processes.map(square, range(4)))


def pool(data: Any) -> list[int]:
    """Compute in a pool's processes."""
    with multiprocessing.Pool(2) as processes:
        return processes.map(square, range(4))


def leave_children(data: Any) -> list[int]:
    """Leave two children running, one by fork and one a program of its own; return their ids."""
    mark = f"started-{os.getpid()}"
    child = multiprocessing.Process(target=sleep_for_ever, args=(mark,))
    child.start()
    while not Path(mark).exists():
        time.sleep(0.01)
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    return [child.pid or 0, program.pid]


def deadlock(data: Any) -> None:
    """Wait for a lock that nobody gives back."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def compute(data: Any) -> None:
    """Use the processor, without end but for the given time."""
    end = time.monotonic() + data["seconds"]
    while time.monotonic() < end:
        pass


def compute_in_a_child(data: Any) -> None:
    """Wait for a child that computes."""
    program = f"import time\nend = time.monotonic() + {data['seconds']}\n"
    program += "while time.monotonic() < end: pass"
    subprocess.run([sys.executable, "-c", program], check=True)


DO: dict[str, Any] = {
    "nothing": lambda data: None,
    "pool": pool,
    "executor": lambda data: executor("fork"),
    "executor, spawn": lambda data: executor("spawn"),
    "leave children": leave_children,
    "chance": lambda data: (time.sleep(0.1), [np.random.rand(), random.random()])[1],
    "deadlock": deadlock,
    "sleep": lambda data: time.sleep(data["seconds"]),
    "compute": compute,
    "compute in a child": compute_in_a_child,
}
