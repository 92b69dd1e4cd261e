"""The Lua scripts: their parts are put together, they compile, and say what they use."""

from __future__ import annotations

import re

import pytest
import redis

from app.runtime.store.connection import SCRIPTS
from app.runtime.store.lua_scripts import DIRECTORY, load_script

NAMES = sorted(path.stem for path in DIRECTORY.glob("*.lua"))
PARTS = {
    "chunks", "clock", "end_requests", "messages", "notify", "queue_callback", "records", "reply",
    "requeue_requests",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_script_compiles(client: redis.Redis, name: str) -> None:
    client.script_load(load_script(name))


@pytest.mark.parametrize("name", NAMES)
def test_no_part_is_included_twice(name: str) -> None:
    source = load_script(name)
    assert not re.search(r"^-- include:", source, re.MULTILINE)
    functions = re.findall(r"^local function (\w+)", source, re.MULTILINE)
    assert len(functions) == len(set(functions))


@pytest.mark.parametrize("name", NAMES)
def test_every_script_has_a_header(name: str) -> None:
    lines = (DIRECTORY / f"{name}.lua").read_text(encoding="utf-8").splitlines()
    lines = lines[1:] if lines[0].startswith("#!lua") else lines
    assert re.match(r"-- \w", lines[0])
    if name in PARTS:
        assert lines[0].startswith("-- Defines ")
    assert max(map(len, lines)) <= 110


def test_what_an_api_process_runs_is_there() -> None:
    assert set(SCRIPTS) <= set(NAMES)


def test_every_key_a_script_names_is_described() -> None:
    """In the table that says what stands in Redis (``store/keys.py``)."""
    from app.runtime.store import keys

    described = set(re.findall(r"``(denzel:[a-z.:]+?):?(?:[A-Z]+)?``", keys.__doc__ or ""))
    for name in NAMES:
        code = re.sub(r"--.*", "", load_script(name))
        for key in re.findall(r"'(denzel:[a-z.:]+?):?'", code):
            assert key in described, f"{name}.lua uses {key}, which keys.py does not describe"
