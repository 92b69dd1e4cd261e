"""A pipeline that does to each request what the request asks for.

``{"verify": NAME}`` picks from VERIFY what verify_input does, ``{"do": NAME}`` from PREDICT what
predict does; without them a request is verified and answered with ``{"echo": value}``.  Every
import, load and sleep is noted in ``trace.jsonl``, with the process that did it.
"""

import array
import asyncio
import datetime
import decimal
import json
import os
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np

LOAD_SECONDS = float(os.environ.get("TEST_LOAD_SECONDS", "0"))


def note(event: str, **details: Any) -> None:
    """Append what this process does to the trace."""
    line = {
        "event": event,
        "pid": os.getpid(),
        "program": " ".join(sys.argv),
        "cuda": os.environ.get("CUDA_VISIBLE_DEVICES"),
        **details,
    }
    with Path("trace.jsonl").open("a", encoding="utf-8") as trace:
        trace.write(json.dumps(line) + "\n")


note("import")


class Unprintable(Exception):
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError("no text")


class Stop(BaseException):
    """An exception that `except Exception` lets through."""


class Point:
    """Something JSON has no form for."""


def throw(error: BaseException) -> Any:
    """Raise, in a lambda."""
    raise error


VERIFY: dict[str, Any] = {
    "accept": lambda data: data,
    "none": lambda data: None,
    "list": lambda data: [1, "two"],
    "numpy": lambda data: {"value": np.arange(3)},
    "unserialisable": lambda data: {"value": Point()},
    "nan": lambda data: {"value": float("nan")},
    "elsewhere": lambda data: {**data, "callback_uri": data["elsewhere"]},
    "unsaid": lambda data: {"value": data["value"]},
    "slow": lambda data: time.sleep(data["seconds"]) or data,
    "ValueError": lambda data: throw(ValueError("no data to predict for!")),
    "AssertionError": lambda data: throw(AssertionError()),
    "KeyError": lambda data: data["missing"],
    "SystemExit": lambda data: sys.exit("leaving"),
    "KeyboardInterrupt": lambda data: throw(KeyboardInterrupt("pressed")),
    "GeneratorExit": lambda data: throw(GeneratorExit()),
    "CancelledError": lambda data: throw(asyncio.CancelledError("cancelled")),
    "StopIteration": lambda data: throw(StopIteration("over")),
    "StopAsyncIteration": lambda data: throw(StopAsyncIteration("over")),
    "RecursionError": lambda data: VERIFY["RecursionError"](data),
    "MemoryError": lambda data: throw(MemoryError("too much")),
    "Stop": lambda data: throw(Stop("stopped")),
    "Unprintable": lambda data: throw(Unprintable()),
    "surrogate": lambda data: throw(ValueError("\ud800")),
    "newlines": lambda data: throw(ValueError("one\r\nX-Injected: yes\r\n\r\ntwo")),
}

PREDICT: dict[str, Any] = {
    "echo": lambda model, data: {"echo": data.get("value")},
    "whoami": lambda model, data: _introduce(model, data["seconds"]),
    "note": lambda model, data: note("predict", mark=data["mark"]) or {"noted": data["mark"]},
    "sleep": lambda model, data: _sleep(data["seconds"]),
    "wait for": lambda model, data: _wait_for(Path(data["path"])),
    "inflate": lambda model, data: time.sleep(0.5) or {"value": "x" * data["size"]},
    "never give in": lambda model, data: _sleep_on(data["seconds"]),
    "exit": lambda model, data: os._exit(3),
    "kill": lambda model, data: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda model, data: os.kill(os.getpid(), signal.SIGSEGV),
    # What the tutorial's own pipeline returns, and its relatives.
    "tutorial": lambda model, data: dict(
        zip({"a": 0, "b": 0}.keys(), np.array(["Iris-setosa", "Iris-virginica"]), strict=True)
    ),
    "scalars": lambda model, data: {
        "float64": np.float64(1.5), "float32": np.float32(0.25), "float16": np.float16(0.5),
        "int64": np.int64(-(2**63)), "uint64": np.uint64(2**64 - 1), "int8": np.int8(-1),
        "bool": np.bool_(True), "str": np.str_("é"),
    },
    "arrays": lambda model, data: {
        "plain": np.arange(6).reshape(2, 3), "transposed": np.arange(6).reshape(2, 3).T,
        "strided": np.arange(10)[::3], "fortran": np.asfortranarray(np.eye(2)),
        "object": np.array([1, "two", None, [3]], dtype=object), "strings": np.array(["a", "b"]),
        "bools": np.array([True, False]), "empty": np.array([]), "zero-dimensional": np.array(7),
        "float16": np.array([0.5], dtype=np.float16), "big-endian": np.array([1], dtype=">i4"),
    },
    "numpy keys": lambda model, data: {
        np.int64(1): "int64", np.str_("s"): "str", 2: "int", np.float64(0.5): "float64",
        "inner": {np.int32(3): np.float32(2.0)},
    },
    "huge integer": lambda model, data: {"value": 10**40, "beside": None},
    "plain objects": lambda model, data: {
        "when": datetime.datetime(2026, 1, 2, 3, 4, 5), "day": datetime.date(2026, 1, 2),
        "id": uuid.UUID(int=1), "missing": None, "tuple": (1, 2),
    },
    "array module": lambda model, data: {"value": array.array("i", [1, 2])},
    "surrogate": lambda model, data: {"value": "\ud83d"},
    "null text": lambda model, data: {"value": "a null in a text", "none": None},
    # What JSON has no form for.
    "NaN": lambda model, data: {"value": float("nan")},
    "infinity": lambda model, data: {"value": [1, {"deep": float("-inf")}]},
    "numpy NaN": lambda model, data: {"value": np.array([1.0, np.nan])},
    "numpy scalar NaN": lambda model, data: {"value": np.float32("nan")},
    "bytes": lambda model, data: {"value": b"abc"},
    "set": lambda model, data: {"value": {1}},
    "complex": lambda model, data: {"value": 1j},
    "decimal": lambda model, data: {"value": decimal.Decimal(1)},
    "object": lambda model, data: {"value": Point()},
    "class": lambda model, data: {"value": np.ndarray},
    "tuple key": lambda model, data: {(1, 2): 3},
    "itself": lambda model, data: _holding_itself(),
    "just bytes": lambda model, data: b"abc",
    "a list": lambda model, data: [1, 2],
    "None": lambda model, data: None,
    "a number": lambda model, data: 3,
    "an array": lambda model, data: np.arange(3),
    "a generator": lambda model, data: (each for each in ()),
    # What predict may raise.
    "NameError": lambda model, data: throw(NameError("name 'np' is not defined")),
    "no arguments": lambda model, data: throw(RuntimeError()),
    "two arguments": lambda model, data: throw(OSError(2, "No such file")),
    "odd arguments": lambda model, data: throw(ValueError(Point, {1: 2}, "\ud800", b"x")),
    "huge argument": lambda model, data: throw(ValueError(10**5000)),
    "unprintable": lambda model, data: throw(Unprintable("an argument")),
    "unprintable argument": lambda model, data: throw(ValueError(Unprintable())),
    "sys.exit": lambda model, data: sys.exit("predict leaves"),
    "KeyboardInterrupt": lambda model, data: throw(KeyboardInterrupt("pressed")),
    "Stop": lambda model, data: throw(Stop("stopped")),
    "MemoryError": lambda model, data: throw(MemoryError()),
    "recursion": lambda model, data: PREDICT["recursion"](model, data),
}  # fmt: skip


def _sleep(seconds: float) -> dict[str, Any]:
    note("sleep")
    time.sleep(seconds)
    return {"slept": seconds}


def _wait_for(path: Path) -> dict[str, Any]:
    note("wait")
    while not path.exists():
        time.sleep(0.05)
    return {"waited": True}


def _introduce(model: dict[str, Any], seconds: float) -> dict[str, Any]:
    time.sleep(seconds)
    return {
        "pid": os.getpid(),
        "loader": model["pid"],
        "cuda": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "cuda at load": model["cuda"],
    }


def _sleep_on(seconds: float) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            time.sleep(until - time.monotonic())
        except Exception:  # noqa: BLE001 - as careless pipelines do
            continue
    return {"slept": seconds}


def _holding_itself() -> dict[str, Any]:
    result: dict[str, Any] = {}
    result["self"] = result
    return result


def verify_input(json_data: Any) -> Any:
    """Do what the request's ``verify`` names."""
    return VERIFY[json_data.get("verify", "accept")](json_data)


def load_model() -> Any:
    """Note the load, take TEST_LOAD_SECONDS, return who loaded."""
    note("load")
    time.sleep(LOAD_SECONDS)
    return {"pid": os.getpid(), "cuda": os.environ.get("CUDA_VISIBLE_DEVICES")}


def process(model: Any, json_data: Any) -> Any:
    """Pass the data on; fail when the request asks for it."""
    if isinstance(json_data, dict) and json_data.get("process") == "fail":
        raise NameError("name 'np' is not defined")
    return json_data if isinstance(json_data, dict) else {"value": json_data}


def predict(model: Any, data: Any) -> Any:
    """Do what the request's ``do`` names."""
    return PREDICT[data.get("do", "echo")](model, data)
