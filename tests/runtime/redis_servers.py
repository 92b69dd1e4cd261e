"""Redis servers apart from a deployment, as a user has them: TLS, ACLs, replicas, Sentinels."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import trustme

from .deployment import redis_program
from .polling import wait_until
from .ports import free_port
from .service import Service, bare_environment

SOON = 20.0
LOOPBACK = "127.0.0.1"
MASTER = "lab"
DOWN_AFTER_MS = 1000


@dataclass
class RedisServer:
    """A server on a port of this machine; ``options`` are lines of its configuration."""

    directory: Path
    name: str = "redis"
    options: Sequence[str] = ()
    is_sentinel: bool = False
    port: int = field(default_factory=free_port)
    service: Service | None = None

    def start(self) -> RedisServer:
        """Start it, with the data it has, and wait until it answers."""
        home = self.directory / self.name
        home.mkdir(parents=True, exist_ok=True)
        config = home / "redis.conf"
        if not config.exists():  # Sentinel and replicas write into theirs
            tls = any(line.startswith("tls-port") for line in self.options)
            lines = [f"dir {home}", *([] if tls else [f"port {self.port}"]), *self.options]
            config.write_text("\n".join(lines).replace("PORT", str(self.port)) + "\n")
        mode = ["--sentinel"] if self.is_sentinel else []
        command = [redis_program(), str(config), *mode]
        self.service = Service(self.name, command, self.directory, bare_environment())
        wait_until(self.answers, SOON, what=f"{self.name} answers", evidence=self.service.output)
        return self

    def answers(self) -> bool:
        """Tell whether it listens, whomever it lets in."""
        with contextlib.suppress(OSError):
            socket.create_connection((LOOPBACK, self.port), 1).close()
            return True
        return False

    def client(self, **options: Any) -> redis.Redis:
        """Return a client of it."""
        return redis.Redis(host=LOOPBACK, port=self.port, **options)

    def kill(self) -> None:
        """End it at once."""
        if self.service is not None:
            self.service.kill()


@contextlib.contextmanager
def running(*servers: RedisServer) -> Iterator[None]:
    """Start servers; end them afterwards."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            server.kill()


class Authority:
    """A certificate authority, with a server's certificate and a client's, as files."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._ca = trustme.CA()
        self.ca, self.certificate, self.key, self.client = (
            directory / name for name in ("ca.pem", "server.pem", "server.key", "client.pem")
        )
        self._ca.cert_pem.write_to_path(self.ca)
        server, client = self._ca.issue_cert(LOOPBACK, "localhost"), self._ca.issue_cert("denzel")
        server.private_key_pem.write_to_path(self.key)
        for number, blob in enumerate(server.cert_chain_pems):
            blob.write_to_path(self.certificate, append=bool(number))
        client.private_key_and_cert_chain_pem.write_to_path(self.client)

    def options(self, *, clients: str = "no") -> list[str]:
        """Return the lines that have a server speak TLS; ``clients`` must show a certificate."""
        return [
            "port 0", "tls-port PORT", f"tls-ca-cert-file {self.ca}", f"tls-auth-clients {clients}",
            f"tls-cert-file {self.certificate}", f"tls-key-file {self.key}",
        ]  # fmt: skip


class Group:
    """A master, a replica, and Sentinels of which two must agree that the master is down."""

    def __init__(
        self, directory: Path, *, replicas: int = 1, sentinels: int = 3,
        options: Sequence[str] = (), sentinel_options: Sequence[str] = (),
    ) -> None:  # fmt: skip
        durable = [
            "appendonly yes", "appendfsync everysec", 'save ""', "repl-diskless-sync-delay 0",
            *options,
        ]  # fmt: skip
        self.servers = [RedisServer(directory, f"redis-{n}", durable) for n in range(replicas + 1)]
        master = self.servers[0]
        for server in self.servers[1:]:
            server.options = [*durable, f"replicaof {LOOPBACK} {master.port}"]
        quorum = min(2, sentinels)
        self.sentinels = [
            RedisServer(
                directory, f"sentinel-{n}", is_sentinel=True,
                options=[
                    *sentinel_options,
                    f"sentinel monitor {MASTER} {LOOPBACK} {master.port} {quorum}",
                    f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
                    f"sentinel failover-timeout {MASTER} 10000",
                ],
            )
            for n in range(sentinels)
        ]  # fmt: skip

    @property
    def url(self) -> str:
        """What REDIS_URL says of it."""
        hosts = ",".join(f"{LOOPBACK}:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Group]:
        """Start it, and wait until every Sentinel knows the others and the replicas."""
        with running(*self.servers, *self.sentinels):
            wait_until(self._is_whole, SOON, what="the Sentinels know each other")
            yield self

    def master(self) -> RedisServer:
        """Return the server that the Sentinels name as master."""
        asked: Any = self.sentinels[-1].client()
        _, port = asked.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER)
        return next(each for each in self.servers if each.port == int(port))

    def kill_master(self) -> RedisServer:
        """Kill the master; return once another has taken its place."""
        old = self.master()
        old.kill()
        wait_until(lambda: self.master() is not old, SOON, what="a replica is promoted")
        return self.master()

    def _is_whole(self) -> bool:
        for sentinel in self.sentinels:
            asked: Any = sentinel.client()
            found = asked.execute_command("SENTINEL MASTER", MASTER)
            known = found if isinstance(found, dict) else {}
            if int(known.get("num-slaves", 0)) < len(self.servers) - 1:
                return False
            if int(known.get("num-other-sentinels", 0)) < len(self.sentinels) - 1:
                return False
        links = self.servers[0].client().info("replication")
        return int(links["connected_slaves"]) == len(self.servers) - 1
