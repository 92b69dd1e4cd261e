"""Where a socket to Redis is opened: TLS is verified, the master is asked for each time."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from app.runtime.redis_socket import RedisConnection, find_master, open_socket
from app.runtime.settings import parse_redis_url

from .ports import free_port
from .redis_servers import LOOPBACK, MASTER, Authority, Group, RedisServer, running

SECONDS = 5.0


def test_a_certificate_must_be_trusted_and_name_the_host(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "tls"), Authority(tmp_path / "other")
    server = RedisServer(tmp_path, options=authority.options())
    with running(server):
        trusting = replace(
            parse_redis_url(f"rediss://{LOOPBACK}:{server.port}"), ca=str(authority.ca)
        )
        with RedisConnection(trusting, SECONDS) as redis:
            assert redis.ask("PING") == "PONG"
        for refused in (replace(trusting, ca=str(other.ca)), replace(trusting, ca="")):
            with pytest.raises(ssl.SSLCertVerificationError):
                open_socket(refused, SECONDS)
        misnamed = replace(trusting, hosts=(("127.0.0.2", server.port),))
        with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.2"):
            open_socket(misnamed, SECONDS)
        plain = replace(trusting, tls=False)
        with pytest.raises(OSError), RedisConnection(plain, SECONDS) as redis:
            redis.ask("PING")


def test_the_system_s_authorities_are_trusted_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "tls")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))  # what OpenSSL takes for the system's
    server = RedisServer(tmp_path, options=authority.options())
    with running(server):
        address = parse_redis_url(f"rediss://{LOOPBACK}:{server.port}")
        with RedisConnection(address, SECONDS) as redis:
            assert redis.ask("PING") == "PONG"


def test_a_machine_that_is_gone_is_noticed_in_half_a_minute(tmp_path: Path) -> None:
    """With what the kernel does by default, a worker waited for two hours."""
    server = RedisServer(tmp_path)
    with running(server), open_socket(
        parse_redis_url(f"redis://{LOOPBACK}:{server.port}"), SECONDS
    ) as connected:  # fmt: skip
        idle, interval, count, most = (
            connected.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        )  # fmt: skip
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert idle + interval * count <= 30
    assert most <= 30_000


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    with running(server):
        address = parse_redis_url(f"rediss://{LOOPBACK}:{server.port}")
        with pytest.raises(
            OSError, match=r"REDIS_CA=/nowhere\.pem cannot be used for TLS: No such"
        ):
            open_socket(replace(address, ca="/nowhere.pem"), SECONDS)


def test_the_sentinel_that_knows_of_the_last_failover_is_believed(tmp_path: Path) -> None:
    """The others name the old master for a second or two, which may be up again by then."""
    old, new = free_port(), free_port()
    sentinels = [
        RedisServer(
            tmp_path, f"sentinel-{port}", is_sentinel=True,
            options=[
                f"sentinel monitor {MASTER} {LOOPBACK} {port} 1",
                f"sentinel config-epoch {MASTER} {epoch}",
            ],
        )
        for port, epoch in ((old, 1), (new, 2), (old, 1))
    ]  # fmt: skip
    sentinels[2].name += "-again"
    with running(*sentinels):
        hosts = ",".join(f"{LOOPBACK}:{each.port}" for each in sentinels)
        address = parse_redis_url(f"redis+sentinel://{hosts}/{MASTER}")
        assert find_master(address) == (LOOPBACK, new)


def test_the_sentinels_are_asked_for_the_master(tmp_path: Path) -> None:
    """By TLS with a password, though one of them is gone and another is none."""
    authority = Authority(tmp_path / "tls")
    group = Group(
        tmp_path, replicas=0, sentinels=1,
        sentinel_options=[*authority.options(), "requirepass watch"],
    )  # fmt: skip
    master, (sentinel,) = group.servers[0], group.sentinels
    with running(master, sentinel):
        hosts = [f"{LOOPBACK}:{port}" for port in (free_port(), master.port, sentinel.port)]
        url = f"rediss+sentinel://{','.join(hosts)}/{MASTER}"
        address = replace(parse_redis_url(url), ca=str(authority.ca), sentinel_password="watch")
        assert find_master(address) == (LOOPBACK, master.port)
        with pytest.raises(ConnectionError, match=f":{sentinel.port}: .*NOAUTH"):
            find_master(replace(address, sentinel_password=""))
        with pytest.raises(ConnectionError, match="No such master"):
            find_master(replace(address, master="other"))
