"""A Redis of the user's: over TLS, as an ACL's user without CONFIG, in a database of its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed
from .receiver import Receiver
from .redis_servers import LOOPBACK, Authority, RedisServer, running

PASSWORD = "open & sesame"
DOCS = Path(__file__).parents[2] / "docs" / "redis.rst"
OF_EVERY_CLIENT = {
    "auth", "client", "hello", "multi", "exec", "discard", "ping", "psubscribe", "punsubscribe",
    "select", "subscribe", "unsubscribe", "unwatch", "watch",
}  # fmt: skip
OF_THIS_TEST = {"acl", "pubsub"}


def acl_line() -> str:
    """Return the line of an ACL that the documentation gives."""
    (found,) = re.findall(r"^ +user denzel on >PASSWORD (.*)$", DOCS.read_text(), re.MULTILINE)
    return str(found)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that speaks TLS alone, to who shows a certificate, and lets denzel do little."""
    directory = tmp_path_factory.mktemp("managed")
    authority = Authority(directory / "tls")
    options = [
        *authority.options(clients="yes"), "appendonly yes", "requirepass admin",
        f'user denzel on "#{_sha256(PASSWORD)}" {acl_line()}',
    ]  # fmt: skip
    found = RedisServer(directory, options=options)
    with running(found):
        yield found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def settings_for(server: RedisServer, database: int) -> dict[str, str]:
    tls = server.directory / "tls"
    return {
        "REDIS_URL": f"rediss://denzel@{LOOPBACK}:{server.port}/{database}",
        "REDIS_PASSWORD": PASSWORD,
        "REDIS_CA": str(tls / "ca.pem"),
        "REDIS_CERTIFICATE": str(tls / "client.pem"),
        "FLOWER_UNAUTHENTICATED_API": "true",
    }


def admin(server: RedisServer, database: int = 0) -> redis.Redis:
    tls = server.directory / "tls"
    return server.client(
        db=database, password="admin", ssl=True, ssl_ca_certs=str(tls / "ca.pem"),
        ssl_certfile=str(tls / "client.pem"), ssl_keyfile=str(tls / "client.pem"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def served(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with all services on that Redis."""
    directory = tmp_path_factory.mktemp("served")
    with deployed(directory, OBEDIENT, settings_for(server, 3)) as deployment:
        client: Any = admin(server)
        client.execute_command("ACL LOG RESET")
        deployment.start_worker(wait=False)
        deployment.start_monitor(wait=False)
        deployment.start_api()
        deployment.start_callbacks()
        deployment.wait_for_worker()
        yield deployment


def test_all_services_work(served: Deployment, receiver: Receiver) -> None:
    assert served.predict({"value": 1}).json() == {"echo": 1}
    uri = f"{receiver.url}/external"
    task_id = served.accept({"value": 2, "callback_uri": uri})
    served.wait(lambda: receiver.requests_to("/external"), "the callback comes", 20)
    assert served.final_status(task_id)["result"] == {"echo": 2}


def test_commands_of_the_command_line_work(served: Deployment) -> None:
    served.respond("--async")
    try:
        assert served.predict({"value": 1}).json()["status"] == "success"
    finally:
        served.respond("--sync")
    listed = served.run("-m", "app.runtime.admin", "callbacks")
    assert (listed.stdout, listed.returncode) == ("[]\n", 0)


def test_the_monitor_shows_workers_and_queues(served: Deployment) -> None:
    found = served.wait(
        lambda: requests.get(f"{served.monitor_url}/api/queues/length", timeout=10).json()
        .get("active_queues"), "the queues' lengths",
    )  # fmt: skip
    assert {"name": "celery", "messages": 0} in found
    workers = served.wait(
        lambda: requests.get(f"{served.monitor_url}/api/workers?refresh=1", timeout=20).json(),
        "the worker",
    )
    assert "worker@lab" in workers


def test_health_is_asked_the_same_way(served: Deployment) -> None:
    asked = served.run("-m", "app.runtime.health", "api")
    assert (asked.stdout, asked.returncode) == ("", 0)
    told = served.run("-m", "app.runtime.health").stdout
    assert '/redis.json:{"state": "UP", "detail": ""}' in told


def test_nothing_was_asked_that_is_not_allowed(served: Deployment, server: RedisServer) -> None:
    """And what was asked is what a start of the services tries."""
    from app.runtime.redis_check import COMMANDS, PERMISSIONS

    client: Any = admin(server)
    assert [entry["object"] for entry in client.acl_log()] == []
    tried = {line.split()[0].lower() for line in COMMANDS.split(",")}
    stats = client.info("commandstats")
    used = {name.removeprefix("cmdstat_").split("|")[0] for name in stats}
    assert used - tried == used & (OF_EVERY_CLIENT | OF_THIS_TEST)
    assert acl_line() == PERMISSIONS


def test_another_project_s_database_is_left_alone(
    served: Deployment, server: RedisServer, tmp_path: Path
) -> None:
    """Keys are apart by the database's number; channels are not, unless their names are."""
    with deployed(tmp_path, OBEDIENT, settings_for(server, 4)) as other:
        other.start_api()
        other.respond("--async")
        assert other.predict({"value": 1}).json()["status"] == "success"
        assert served.predict({"value": 1}).json() == {"echo": 1}
        channels: Any = admin(server).pubsub_channels("denzel:*")
        shared = {name.decode() for name in channels if not name.startswith(b"denzel:reply:")}
        assert {name.rpartition(":")[2] for name in shared} == {"3", "4"}
    assert admin(server).dbsize() == 0


def test_a_write_that_lacks_replicas_is_refused_and_made_later(
    served: Deployment, server: RedisServer
) -> None:
    """As with min-replicas-to-write, a setting of the server's own."""
    slow = served.accept({"do": "sleep", "seconds": 2})
    served.wait_until_begun(slow)
    client = admin(server)
    client.config_set("min-replicas-to-write", 1)
    try:
        answer = served.predict({"value": 1}, Prefer="respond-async")
        assert answer.status_code == 503
        assert "nothing was queued" in answer.text
        log = served.services["denzel"].log
        served.wait(
            lambda: "Redis cannot be reached: NOREPLICAS" in log.read_text(encoding="utf-8"),
            "the result cannot be stored",
            20,
        )
    finally:
        client.config_set("min-replicas-to-write", 0)
    assert served.final_status(slow)["status"] == "SUCCESS"
    assert len(served.trace("sleep")) == 1
    assert served.predict({"value": 1}).json() == {"echo": 1}
