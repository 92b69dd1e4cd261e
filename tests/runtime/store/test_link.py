"""The API's lean connection to Redis, on a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.exceptions
from app.runtime.requests.results import ResultStore
from app.runtime.store.link import Link

from app.runtime.contract import SUCCESS, Outcome
from app.runtime.store.codecs import Reply
from app.runtime.store.keys import reply_channel, task_key

from ..deployment import Deployment, deployed

CHANNEL = "denzel:reply:test"
SOON = 10.0

Use = Callable[[Link, "asyncio.Queue[bytes]"], Awaitable[Any]]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("link"), None) as deployment:
        deployment.start_redis("--requirepass", "p:ss@w/rd")
        yield deployment


@pytest.fixture
def url(deployment: Deployment) -> str:
    return f"unix://:p%3Ass%40w%2Frd@{deployment.redis_socket}"


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


def linked(url: str, use: Use) -> Any:
    """Return what ``use`` makes of a link and the messages it hears."""

    async def run() -> Any:
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        def hear(channel: bytes, data: bytes) -> None:
            if data == b"garbage":
                raise ValueError(data)
            heard.put_nowait(data)

        async with asyncio.timeout(SOON):
            link = await Link.connect(url, (CHANNEL,), hear)
            try:
                return await use(link, heard)
            finally:
                link.close()

    return asyncio.run(run())


def test_replies_belong_to_their_commands(url: str) -> None:
    async def use(link: Link, heard: asyncio.Queue[bytes]) -> list[Any]:
        sent = [link.send("ECHO", str(number)) for number in range(1000)]
        sent.insert(500, link.send("NONSENSE"))
        return await asyncio.gather(*sent, return_exceptions=True)

    replies = linked(url, use)
    assert isinstance(replies.pop(500), redis.exceptions.ResponseError)
    assert replies == [str(number).encode() for number in range(1000)]


def test_messages_are_heard_between_replies(url: str) -> None:
    async def use(link: Link, heard: asyncio.Queue[bytes]) -> list[bytes]:
        sent = [link.send("PUBLISH", CHANNEL, text) for text in ("first", "garbage", "last")]
        assert await asyncio.gather(*sent) == [1, 1, 1]
        return [await heard.get(), await heard.get()]

    assert linked(url, use) == [b"first", b"last"]


def test_a_client_that_has_gone_takes_nobodys_reply(url: str) -> None:
    async def use(link: Link, heard: asyncio.Queue[bytes]) -> Any:
        link.send("ECHO", "gone").cancel()
        return await link.send("ECHO", "here")

    assert linked(url, use) == b"here"


def test_the_database_is_that_of_the_url(url: str, client: redis.Redis) -> None:
    async def use(link: Link, heard: asyncio.Queue[bytes]) -> Any:
        return await link.send("SET", "in-db", "3")

    assert linked(f"{url}?db=3", use) == b"OK"
    assert client.get("in-db") is None


def test_no_memory_is_told_apart(url: str, client: redis.Redis) -> None:
    async def use(link: Link, heard: asyncio.Queue[bytes]) -> None:
        await link.send("LPUSH", "list", "x")

    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            linked(url, use)
    finally:
        client.config_set("maxmemory", 0)


def test_what_is_under_way_ends_with_the_connection(url: str, client: redis.Redis) -> None:
    async def use(link: Link, heard: asyncio.Queue[bytes]) -> list[Any]:
        number = await link.send("CLIENT", "ID")
        waiting = link.send("BLPOP", "nothing", "0")
        client.client_kill_filter(_id=str(number))
        ends = await asyncio.gather(waiting, link.watch(), return_exceptions=True)
        return [*ends, *await asyncio.gather(link.send("PING"), return_exceptions=True)]

    assert [type(end) for end in linked(url, use)] == [redis.exceptions.ConnectionError] * 3


def test_a_wrong_password_is_refused(deployment: Deployment) -> None:
    async def use(link: Link, heard: asyncio.Queue[bytes]) -> None: ...

    with pytest.raises(redis.exceptions.ResponseError, match="WRONGPASS"):
        linked(f"unix://:wrong@{deployment.redis_socket}", use)


def test_no_redis_is_an_error_of_the_system(tmp_path: Path) -> None:
    async def use(link: Link, heard: asyncio.Queue[bytes]) -> None: ...

    with pytest.raises(OSError):
        linked(f"unix://{tmp_path}/none.sock", use)


def test_a_worker_tells_before_it_stores(url: str, client: redis.Redis) -> None:
    """Whoever waits for an answer does not wait for Redis's disk."""
    task_id = "00000000-0000-0000-0000-000000000000"
    store = ResultStore(redis.Redis.from_url(url), url, 60)
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        store.finish(Reply(task_id, 0.1, [Outcome(task_id, SUCCESS, b"{}")]), "test", {})
        seen: list[str] = []
        while not seen or not seen[-1].startswith(f"SET {task_key(task_id)} "):
            seen.append(monitor.next_command()["command"])
    assert any(command.startswith(f"PUBLISH {reply_channel('test')} ") for command in seen)
    assert client.get(task_key(task_id)) == b"SUCCESS {}"
    store.close()


def test_an_answer_survives_a_connection_that_has_ended(url: str, client: redis.Redis) -> None:
    store = ResultStore(redis.Redis.from_url(url), url, 60)
    for number in range(2):
        task_id = f"00000000-0000-0000-0000-00000000000{number}"
        store.finish(Reply(task_id, 0.1, [Outcome(task_id, SUCCESS, b"{}")]), "test", {})
        assert client.get(task_key(task_id)) == b"SUCCESS {}"
        assert client.client_kill_filter(skipme=True)
    store.close()
