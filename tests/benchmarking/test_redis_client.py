"""The few commands the benchmarks ask a real Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.commands import running
from benchmarks.redis_client import RedisServer
from denzel.backends.local.redis_server import find_redis_server
from denzel.polling import polls

PASSWORD = "not a real one"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    socket_path = tmp_path / "redis.sock"
    argv = [str(find_redis_server()), "--port", "0", "--unixsocket", str(socket_path)]
    argv += ["--requirepass", PASSWORD]
    server = RedisServer(socket_path, PASSWORD)
    with running(argv, cwd=tmp_path, env={}, log=tmp_path / "log"):
        for _ in polls(0.02, timeout=20):
            if server.answers():
                break
        yield server


def test_it_tells_its_memory(server: RedisServer) -> None:
    assert server.used_memory() > 100_000


def test_a_wrong_password_and_no_server_are_no_answer(server: RedisServer, tmp_path: Path) -> None:
    assert not RedisServer(server.socket_path, "wrong").answers()
    assert not RedisServer(server.socket_path).answers()
    assert not RedisServer(tmp_path / "nothing").answers()
