"""The plain data that API, worker and callbacks exchange."""

from __future__ import annotations

from typing import Any
from uuid import RFC_4122, UUID

import orjson
import pytest

from app.runtime.contract import NOBODY, failure_body, new_task_id, owner_of


class Hostile:
    """An object that will not be shown."""

    def __str__(self) -> str:
        """Refuse, and not with an Exception."""
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ((), []),
        (("name 'np' is not defined",), ["name 'np' is not defined"]),
        ((1, 2.5, None, True, ["a"], {"b": 1}), [1, 2.5, None, True, ["a"], {"b": 1}]),
        ((b"bytes", {1}, 1j), ["b'bytes'", "{1}", "1j"]),
        (("\ud800",), ["?"]),
        ((2**70,), [str(2**70)]),
        ((10**5000,), ["<int without a text>"]),
        ((Hostile(),), ["<Hostile without a text>"]),
    ],
)
def test_a_failure_shows_its_arguments_as_json_can(arguments: Any, shown: list[Any]) -> None:
    failure = orjson.loads(failure_body(ValueError(*arguments)))
    assert failure == {"args": shown, "type": "ValueError"}


@pytest.mark.parametrize("name", ["shop", "till", "a b", "é", "-", '"', "x" * 300])
def test_an_owner_fits_into_a_record_and_a_message_whatever_the_keys_name(name: str) -> None:
    owner = owner_of(name)
    assert owner.isalnum()
    assert len(owner) == 16
    assert owner != owner_of(f"{name}.")


def test_without_keys_everything_is_nobodys() -> None:
    assert owner_of("") == NOBODY


def test_ids_are_random_uuids() -> None:
    ids = [UUID(new_task_id()) for _ in range(1000)]
    assert {(each.version, each.variant) for each in ids} == {(4, RFC_4122)}
    assert len(set(ids)) == 1000
