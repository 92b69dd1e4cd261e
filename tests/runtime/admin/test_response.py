"""The response mode is set by a bare Python, from the moment Redis answers."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from app.runtime.contract import ResponseMode
from app.runtime.redis_socket import RedisConnection
from app.runtime.resp import RedisRefused
from app.runtime.settings import RedisAddress, parse_redis_url
from app.runtime.store.codecs import decode_response_mode
from app.runtime.store.keys import RESPONSE_KEY

from ..deployment import Deployment, deployed
from ..template import PIPELINES

OBEDIENT = (PIPELINES / "obedient.py").read_text(encoding="utf-8")
PASSWORD = "a:b@c/d%é"


@pytest.fixture(scope="module")
def young(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment of which only Redis runs so far."""
    settings = {"REDIS_PASSWORD": PASSWORD}
    with deployed(tmp_path_factory.mktemp("young"), OBEDIENT, settings) as deployment:
        deployment.start_redis("--requirepass", PASSWORD)
        yield deployment


def address_of(deployment: Deployment, password: str = PASSWORD) -> RedisAddress:
    return parse_redis_url(f"unix://:{quote(password, safe='')}@{deployment.redis_socket}")


def set_mode(deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the standard library alone."""
    program = (
        "import runpy, sys; sys.path.insert(0, '.');"
        "runpy.run_module('app.runtime.admin', run_name='__main__', alter_sys=True)"
    )
    return deployment.run("-I", "-S", "-c", program, "response", *arguments)


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        (["--sync", "--timeout", "2.5"], ResponseMode(is_async=False, timeout=2.5)),
        (["--async"], ResponseMode(is_async=True)),
    ],
)
def test_the_mode_is_stored_before_anything_else_runs(
    young: Deployment, arguments: list[str], mode: ResponseMode
) -> None:
    done = set_mode(young, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    with RedisConnection(address_of(young), 5.0) as redis:
        stored = redis.ask("GET", RESPONSE_KEY)
    assert isinstance(stored, str)
    assert decode_response_mode(stored.encode()) == mode


def test_the_api_obeys_from_its_first_request_on(young: Deployment) -> None:
    assert set_mode(young, "--async").returncode == 0
    young.start_api()
    assert young.predict({"value": 1}).json()["status"] == "success"


def test_a_redis_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with deployed(tmp_path, OBEDIENT) as deployment:
        done = set_mode(deployment, "--async")
    assert done.returncode == 1
    assert done.stderr.startswith("Response mode: Redis does not answer")
    assert len(done.stderr.splitlines()) == 1


def test_a_refusal_is_told_in_redis_own_words(young: Deployment) -> None:
    with pytest.raises(RedisRefused, match="WRONGPASS"):
        RedisConnection(address_of(young, "wrong"), 5.0)
    with (
        RedisConnection(address_of(young), 5.0) as redis,
        pytest.raises(RedisRefused, match="unknown"),
    ):
        redis.ask("NOSUCHCOMMAND")


def test_every_kind_of_answer_is_read(young: Deployment) -> None:
    with RedisConnection(address_of(young), 5.0) as redis:
        assert redis.ask("PING") == "PONG"
        assert redis.ask("DEL", "nothing") == 0
        assert redis.ask("GET", "nothing") is None
        assert redis.ask("BLPOP", "nothing", "0.01") is None
        assert redis.ask("RPUSH", "list", "é\r\n", "") == 2
        assert redis.ask("LRANGE", "list", "0", "-1") == ["é\r\n", ""]


def test_a_redis_over_tcp_is_reached_and_may_hang_up() -> None:
    heard: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            for answer in (b"+OK\r\n", b"$5\r\nhel"):
                heard.append(connection.recv(1000))
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        port = listener.getsockname()[1]
        address = parse_redis_url(f"redis://127.0.0.1:{port}/3")
        with RedisConnection(address, 5.0) as redis, pytest.raises(ConnectionError):
            redis.ask("GET", "x")
        server.join()
    assert heard[0] == b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"


def test_the_program_needs_no_third_party(young: Deployment) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import orjson"], capture_output=True, check=False
    )
    assert done.returncode != 0, "what the tests above show would be worth nothing"
