"""The Prefer header, by the examples and the grammar of RFC 7240."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.api.preferences import MAX_WAIT_SECONDS, NO_PREFERENCE, Preference, parse_prefer

UNDERSTOOD = {
    "respond-async": Preference(True, None),
    "Respond-Async": Preference(True, None),
    "respond-async, wait=10": Preference(True, 10),
    "wait=10, respond-async": Preference(True, 10),
    "respond-async,wait=10": Preference(True, 10),
    "respond-async ; foo=bar , wait = 3": Preference(True, 3),
    'wait="7"': Preference(False, 7),
    "wait=0": Preference(False, 0),
    "wait=5, wait=9": Preference(False, 5),
    "wait=nonsense, wait=9": Preference(False, 9),
    "return=minimal, wait=100, handling=lenient": Preference(False, 100),
    "wait=999999999": Preference(False, MAX_WAIT_SECONDS),
    "wait=" + "9" * 5000: Preference(False, MAX_WAIT_SECONDS),
}

IGNORED = [
    None, "", " ", ",", ";", "=", "wait", "wait=", "wait=-1", "wait=1.5", "wait=1e3", "wait=0x1",
    "wait=\u0663", "wait=\u00b2", "await=3", "respond-asynchronous", "x-respond-async",
    '"respond-async"', "return=respond-async",
]  # fmt: skip


@pytest.mark.parametrize(("header", "preference"), UNDERSTOOD.items())
def test_preferences_are_understood(header: str, preference: Preference) -> None:
    assert parse_prefer(header) == preference


@pytest.mark.parametrize("header", IGNORED)
def test_anything_else_is_ignored(header: str | None) -> None:
    assert parse_prefer(header) == NO_PREFERENCE


@given(st.text() | st.text('respond-asyncwait=;," 0123456789'))
def test_no_header_is_an_error(header: str) -> None:
    preference = parse_prefer(header)
    assert preference.wait is None or 0 <= preference.wait <= MAX_WAIT_SECONDS


@pytest.mark.parametrize(
    ("preference", "applied"),
    [
        (NO_PREFERENCE, ""),
        (Preference(True, None), "respond-async"),
        (Preference(False, 10), "wait=10"),
        (Preference(True, 0), "respond-async, wait=0"),
    ],
)
def test_what_was_applied_is_told(preference: Preference, applied: str) -> None:
    assert preference.applied == applied
