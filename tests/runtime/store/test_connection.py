"""An API process's connection to Redis, on a real one."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.exceptions

from app.runtime.settings import parse_redis_url
from app.runtime.store import connection as module
from app.runtime.store.connection import Connection

from ..deployment import Deployment, deployed

CHANNEL = "denzel:reply:test"
SOON = 10.0

Use = Callable[[Connection, "asyncio.Queue[bytes]"], Awaitable[Any]]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("connection"), None) as deployment:
        deployment.start_redis("--requirepass", "p:ss@w/rd")
        yield deployment


@pytest.fixture
def url(deployment: Deployment) -> str:
    return f"unix://:p%3Ass%40w%2Frd@{deployment.redis_socket}"


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield client


def connected(url: str, use: Use) -> Any:
    """Return what ``use`` makes of a connection and the messages it hears."""

    async def run() -> Any:
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        def hear(channel: bytes, data: bytes) -> None:
            if data == b"garbage":
                raise ValueError(data)
            heard.put_nowait(data)

        async with asyncio.timeout(SOON):
            connection = await Connection.connect(parse_redis_url(url), (CHANNEL,), hear)
            try:
                return await use(connection, heard)
            finally:
                connection.close()

    return asyncio.run(run())


def test_replies_belong_to_their_commands(url: str) -> None:
    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> list[Any]:
        sent = [connection.send("ECHO", str(number)) for number in range(1000)]
        sent.insert(500, connection.send("NONSENSE"))
        return await asyncio.gather(*sent, return_exceptions=True)

    replies = connected(url, use)
    assert isinstance(replies.pop(500), redis.exceptions.ResponseError)
    assert replies == [str(number).encode() for number in range(1000)]


def test_messages_are_heard_between_replies(url: str) -> None:
    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> list[bytes]:
        sent = [connection.send("PUBLISH", CHANNEL, text) for text in ("first", "garbage", "last")]
        assert await asyncio.gather(*sent) == [1, 1, 1]
        return [await heard.get(), await heard.get()]

    assert connected(url, use) == [b"first", b"last"]


def test_a_client_that_has_gone_takes_nobodys_reply(url: str) -> None:
    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> Any:
        connection.send("ECHO", "gone").cancel()
        return await connection.send("ECHO", "here")

    assert connected(url, use) == b"here"


def test_a_script_is_run_and_replies_stay_in_their_order(url: str, client: redis.Redis) -> None:
    """Also when Redis has forgotten the script, in the midst of other commands."""

    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> list[Any]:
        client.set("denzel:task:a", "SUCCESS - {}")
        first = await connection.run("find", 0, "a", "b")
        client.script_flush()
        sent = [
            connection.send("ECHO", "1"), connection.run("find", 0, "a"),
            connection.send("ECHO", "2"), connection.run("find", 0, "b"),
        ]  # fmt: skip
        return [first, *await asyncio.gather(*sent)]

    record = b"SUCCESS - {}"
    assert connected(url, use) == [[record, None], b"1", [record], b"2", [None]]


def test_the_database_is_that_of_the_url(url: str, client: redis.Redis) -> None:
    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> Any:
        return await connection.send("SET", "in-db", "3")

    assert connected(f"{url}?db=3", use) == b"OK"
    assert client.get("in-db") is None


def test_no_memory_is_told_apart(url: str, client: redis.Redis) -> None:
    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> None:
        await connection.send("LPUSH", "list", "x")

    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            connected(url, use)
    finally:
        client.config_set("maxmemory", 0)


def test_what_is_under_way_ends_with_the_connection(url: str, client: redis.Redis) -> None:
    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> list[Any]:
        number = await connection.send("CLIENT", "ID")
        waiting = connection.send("BLPOP", "nothing", "0")
        client.client_kill_filter(_id=str(number))
        ends = await asyncio.gather(waiting, connection.watch(), return_exceptions=True)
        return [*ends, *await asyncio.gather(connection.send("PING"), return_exceptions=True)]

    assert [type(end) for end in connected(url, use)] == [redis.exceptions.ConnectionError] * 3


def test_what_redis_does_not_read_is_limited(
    deployment: Deployment, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it hangs, an API process's memory must not fill with requests."""
    monkeypatch.setattr(module, "MOST_UNSENT_BYTES", 2**20)

    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> int:
        deployment.services["redis"].signal(signal.SIGSTOP)
        try:
            sent = [connection.send("ECHO", b"x" * 2**16) for _ in range(100)]
            await asyncio.sleep(0)
            refused = [each for each in sent if each.done()]
            for each in refused:
                with pytest.raises(redis.exceptions.ConnectionError, match="does not read"):
                    each.result()
            return len(refused)
        finally:
            deployment.services["redis"].signal(signal.SIGCONT)
            await asyncio.gather(*sent, return_exceptions=True)

    assert 50 < connected(url, use) < 90


def test_redis_that_owes_an_answer_is_given_up(
    deployment: Deployment, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PONG_SECONDS", 0.2)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)

    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> None:
        deployment.services["redis"].signal(signal.SIGSTOP)
        try:
            connection.send("PING").add_done_callback(lambda reply: reply.exception())
            with pytest.raises(redis.exceptions.ConnectionError, match="has not answered"):
                await connection.watch()
        finally:
            deployment.services["redis"].signal(signal.SIGCONT)

    connected(url, use)


def test_a_wrong_password_is_refused(deployment: Deployment) -> None:
    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> None: ...

    with pytest.raises(redis.exceptions.ResponseError, match="WRONGPASS"):
        connected(f"unix://:wrong@{deployment.redis_socket}", use)


def test_no_redis_is_an_error_of_the_system(tmp_path: Path) -> None:
    async def use(connection: Connection, heard: asyncio.Queue[bytes]) -> None: ...

    with pytest.raises(OSError):
        connected(f"unix://{tmp_path}/none.sock", use)


def test_every_script_of_an_api_process_is_loaded_as_it_connects() -> None:
    runtime = Path(module.__file__).parent.parent
    names = ("acceptance", "cancellation", "lookup")
    files = [runtime / "api/dispatch.py", *(runtime / f"requests/{name}.py" for name in names)]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    assert set(re.findall(r'\b_?(?:run|store)\(\s*"(\w+)"', source)) == set(module.SCRIPTS)
