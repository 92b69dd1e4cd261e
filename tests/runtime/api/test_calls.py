"""Parts of ``POST /predict`` that need no deployment."""

from __future__ import annotations

from app.runtime.api.calls import callers_key


def test_no_two_callers_keys_are_stored_under_one_name() -> None:
    callers = [("a b", "c"), ("a", "b c"), ("", "a b c"), ("1 a", "b"), ("", "1 a b")]
    assert len({callers_key(name, key) for name, key in callers}) == len(callers)
