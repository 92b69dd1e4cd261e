"""How many may be under way, in all and for each receiver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.callbacks.slots import Crowded, Slots


def test_one_key_alone_has_its_limit() -> None:
    slots = Slots(1000, 16)
    for _ in range(16):
        slots.acquire("a")
    with pytest.raises(Crowded) as raised:
        slots.acquire("a")
    assert raised.value.key == "a"
    assert slots.room("b") == 16


@pytest.mark.parametrize("keys", [1, 50, 200, 900])
def test_a_new_key_finds_room_however_many_hold_theirs(keys: int) -> None:
    slots = Slots(1000, 32)
    for _ in range(40):
        for key in range(keys):
            if slots.room(str(key)):
                slots.acquire(str(key))
    assert slots.room("new") >= 1


def test_a_released_slot_is_free_and_its_key_forgotten() -> None:
    released: list[str] = []
    slots = Slots(10, 2)
    slots.on_release = released.append
    slots.acquire("a")
    slots.release("a")
    assert released == ["a"]
    assert slots.held("a") == 0 and not slots._held


@given(st.lists(st.integers(0, 5), max_size=200))
def test_no_limit_is_ever_passed(keys: list[int]) -> None:
    slots = Slots(20, 4)
    for key in map(str, keys):
        room = slots.room(key)
        if room:
            slots.acquire(key)
            assert slots.room(key) <= room - 1
        assert slots.held(key) <= 4
    assert sum(slots.held(str(key)) for key in range(6)) <= 20
