"""The parts of an image's name."""

from __future__ import annotations

import pytest

from denzel.errors import UsageError
from denzel.export.images import split_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("redis", ("redis", "latest", "")),
        ("redis:8", ("redis", "8", "")),
        ("localhost:5000/iris", ("localhost:5000/iris", "latest", "")),
        ("registry.example:5000/a/iris_1:1.0", ("registry.example:5000/a/iris_1", "1.0", "")),
        (f"registry.example/iris@{DIGEST}", ("registry.example/iris", "latest", DIGEST)),
        (f"registry.example/iris:2@{DIGEST}", ("registry.example/iris", "2", DIGEST)),
    ],
)
def test_the_parts_of_a_name(reference: str, parts: tuple[str, str, str]) -> None:
    assert split_reference(reference) == parts


@pytest.mark.parametrize(
    "reference", ["", "Iris", "iris:", "iris: 1", "https://registry.example/iris", "iris@sha256:1"]
)
def test_what_is_no_name_is_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="cannot be an image's name"):
        split_reference(reference)
