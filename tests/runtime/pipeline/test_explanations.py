"""What is said of an exception of the user's code, and of the remedy."""

from __future__ import annotations

import ctypes
import json

import pytest

from app.runtime.contract import failure_body
from app.runtime.pipeline.explanations import advice, describe


@pytest.mark.parametrize(
    ("library", "remedy"),
    [
        ("libgomp.so.1", "apt-get update && apt-get install --yes libgomp1"),
        ("libGL.so.1", "apt-get update && apt-get install --yes libgl1"),
        ("libnobody-has-me-2.0.so.3", "requirements.sh that installs libnobody-has-me-2.0.so.3"),
    ],
)
@pytest.mark.parametrize("kind", [ImportError, OSError])
def test_a_missing_library_is_told_with_its_package(
    kind: type[Exception], library: str, remedy: str
) -> None:
    message = f"{library}: cannot open shared object file: No such file or directory"
    assert remedy in advice(kind(message))
    assert "`denzel updateosreqs`" in describe(kind(message))


def test_the_dynamic_linkers_own_message_is_understood() -> None:
    with pytest.raises(OSError) as caught:
        ctypes.CDLL("libnobody-has-me.so.1")
    assert "installs libnobody-has-me.so.1;" in advice(caught.value)


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "No such file or directory", "app/assets/lib.so"), OSError()]
)
def test_other_errors_of_the_system_are_left_as_they_are(error: OSError) -> None:
    assert advice(error) == ""


def test_what_to_do_follows_a_message_that_ends_with_a_full_stop() -> None:
    error = type("OutOfMemoryError", (MemoryError,), {})("Out of memory allocating 8 bytes.")
    shown = describe(error)
    assert shown.startswith("OutOfMemoryError: Out of memory allocating 8 bytes. The GPU's memory")
    assert "`nvidia-smi`" in shown
    body = json.loads(failure_body(error, "Do this"))
    assert body["args"] == ["Out of memory allocating 8 bytes. Do this"]
