"""Whether a Redis can serve is told before anything relies on it, with what to change."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app.runtime.redis_check import PERMISSIONS, PROJECT_KEY, RedisUnusable, check_redis, main
from app.runtime.settings import parse_settings

from .ports import free_port
from .redis_servers import LOOPBACK, Authority, RedisServer, running
from .service import bare_environment

TEMPLATE = Path(sys.modules["app.runtime.redis_check"].__file__ or "").parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that is as it should be, but for what a test changes."""
    found = RedisServer(
        tmp_path_factory.mktemp("redis"),
        options=[
            "appendonly yes",
            "user able on >able " + PERMISSIONS,
            "user unable on >unable ~* &* +@all -@dangerous -eval -wait",
        ],
    )
    with running(found):
        yield found


@pytest.fixture(autouse=True)
def _emptied(server: RedisServer) -> Iterator[None]:
    server.client().flushall()
    yield


def check(server: RedisServer, path: str = "/1", account: str = "", **settings: str) -> list[str]:
    url = f"redis://{account}{LOOPBACK}:{server.port}{path}"
    return check_redis(parse_settings({"REDIS_URL": url, "PROJECT_NAME": "iris", **settings}))


def problem(server: RedisServer, *arguments: str, **settings: str) -> str:
    with pytest.raises(RedisUnusable) as refused:
        check(server, *arguments, **settings)
    return str(refused.value)


def test_one_that_is_as_it_should_be_is_marked(server: RedisServer) -> None:
    for _ in range(2):
        assert check(server, "/1", "able:able@") == []
    assert server.client(db=1).get(PROJECT_KEY) == b"iris"


def test_another_project_s_database_is_refused(server: RedisServer) -> None:
    check(server)
    told = problem(server, PROJECT_NAME="wine")
    assert "Database 1 of Redis" in told
    assert "is the project iris's" in told
    assert check(server, "/2", PROJECT_NAME="wine") == []


def test_keys_of_something_else_are_told_of(server: RedisServer) -> None:
    server.client(db=1).set("theirs", "1")
    (notice,) = check(server)
    assert "holds keys of something else" in notice


@pytest.mark.parametrize(
    ("account", "settings", "said"),
    [
        ("able:wrong@", {}, "pair or user is disabled: it knows another user"),
        (":some@", {}, "must be empty"),
        ("unable@", {"REDIS_PASSWORD": "unable"},
         f"does not let the user unable use EVAL, INFO, WAIT; its ACL needs {PERMISSIONS}"),
    ],
)  # fmt: skip
def test_who_may_not_come_in_is_told_why(
    server: RedisServer, account: str, settings: Mapping[str, str], said: str
) -> None:
    assert said in problem(server, "/1", account, **settings)


def test_a_missing_password_and_database_are_told(server: RedisServer) -> None:
    assert "another number" not in problem(server, "/99")
    assert "a database that it has not got" in problem(server, "/99")
    server.client().config_set("requirepass", "secret")
    try:
        assert "set REDIS_PASSWORD in .env.secrets" in problem(server)
    finally:
        server.client(password="secret").config_set("requirepass", "")


def test_one_that_evicts_is_refused(server: RedisServer) -> None:
    client = server.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert check(server) == []  # without a limit nothing is evicted
        client.config_set("maxmemory", "100mb")
        assert "set maxmemory-policy noeviction there" in problem(server)
        client.config_set("maxmemory-policy", "volatile-lru")
        (notice,) = check(server)
        assert "results and Idempotency-Keys, before their time" in notice
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "0")


def test_what_is_lost_without_a_file_is_told(server: RedisServer) -> None:
    client = server.client()
    client.config_set("appendonly", "no")
    try:
        (notice,) = check(server)
        assert "keeps no append-only file" in notice
    finally:
        client.config_set("appendonly", "yes")


def test_too_few_replicas_are_told_of(server: RedisServer) -> None:
    (notice,) = check(server, REDIS_WAIT_REPLICAS="1")
    assert "has 0 replicas, and REDIS_WAIT_REPLICAS=1" in notice


def test_nothing_needs_config_or_keys(tmp_path: Path) -> None:
    names = ("CONFIG", "DEBUG", "KEYS", "MODULE", "FLUSHALL", "MONITOR", "SHUTDOWN")
    options = ["appendonly yes", *(f'rename-command {name} ""' for name in names)]
    managed = RedisServer(tmp_path, options=options)
    with running(managed):
        assert check(managed) == []


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    crippled = RedisServer(tmp_path, options=['rename-command EVALSHA ""'])
    with running(crippled):
        assert "has no command EVALSHA" in problem(crippled)


def test_redis_cluster_is_refused_with_the_reason(tmp_path: Path) -> None:
    cluster = RedisServer(tmp_path, options=["cluster-enabled yes", f"cluster-port {free_port()}"])
    with running(cluster):
        for path in ("/0", "/1"):
            assert "does not run on Redis Cluster" in problem(cluster, path)


def test_a_certificate_that_is_not_trusted_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    server = RedisServer(tmp_path, options=authority.options())
    with running(server):
        settings = parse_settings({"REDIS_URL": f"rediss://{LOOPBACK}:{server.port}"})
        with pytest.raises(RedisUnusable, match=r"is not trusted: .*REDIS_CA"):
            check_redis(settings)


def test_a_port_with_tls_or_without_is_suspected_where_the_other_is_asked_for(
    tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("app.runtime.redis_check.CHECK_SECONDS", 0.5)
    secure = RedisServer(tmp_path, options=Authority(tmp_path / "tls").options())

    def told(url: str) -> str:
        monkeypatch.setenv("REDIS_URL", url)
        assert main() == 1
        return capsys.readouterr().err

    with running(secure):
        assert "Then REDIS_URL begins with rediss://" in told(f"redis://{LOOPBACK}:{secure.port}")
    assert "as rediss:// in REDIS_URL asks for?" in told(f"rediss://{LOOPBACK}:{server.port}")


def test_as_a_program_it_says_so_in_a_line(server: RedisServer) -> None:
    """And needs nothing but the standard library."""

    def run(port: int) -> subprocess.CompletedProcess[str]:
        url = f"redis://{LOOPBACK}:{port}/1"
        return subprocess.run(
            [sys.executable, "-ISc", "import runpy, sys; sys.path.insert(0, '.');"
             "runpy.run_module('app.runtime.redis_check', run_name='__main__')"],
            cwd=TEMPLATE, env={**bare_environment(), "REDIS_URL": url}, text=True,
            capture_output=True, timeout=60,
        )  # fmt: skip

    done = run(server.port)
    assert (done.stderr, done.returncode) == ("", 0)
    port = free_port()
    done = run(port)
    assert done.stderr == (
        f"Redis (127.0.0.1:{port}) cannot be reached: Connection refused; is REDIS_URL right, and "
        "may this machine reach what it names?\n"
    )
    assert (len(done.stderr.splitlines()), done.returncode) == (1, 1)
