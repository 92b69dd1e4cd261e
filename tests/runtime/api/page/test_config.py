"""EXAMPLE as the page gets it."""

from __future__ import annotations

import pytest

from app.runtime.api.page.config import indented


@pytest.mark.parametrize("number", ["1.0", "18446744073709551617", "1e-7", "-0.0"])
def test_numbers_stay_as_they_are(number: str) -> None:
    assert number in indented(b'{"a":%b}' % number.encode())
