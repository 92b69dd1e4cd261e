"""Where Redis is, as REDIS_URL and the settings beside it say; nothing is connected here."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

REDIS_PORT = 6379
SENTINEL_PORT = 26379
FORMS = (
    "redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE], rediss://... (TLS), "
    "unix:///PATH[?db=DATABASE], or redis+sentinel://HOST[:PORT],HOST[:PORT].../MASTER[/DATABASE] "
    "(rediss+sentinel: TLS)"
)
"""What REDIS_URL takes."""
SENTINEL = "+sentinel"


@dataclass(frozen=True)
class RedisAddress:
    """One Redis server, or the Sentinels that know which server is the master.

    ``hosts`` are names and ports: the server's, or with ``master`` the Sentinels'.  ``socket_path``
    is that of a Unix socket.  ``ca``, ``certificate`` and ``key`` are files; without ``ca`` the
    system's certificate authorities are trusted.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    socket_path: str = ""
    master: str = ""
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""
    sentinel_password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return it for a person to read; credentials are left out."""
        if self.socket_path:
            return self.socket_path
        hosts = ", ".join(f"{host}:{port}" for host, port in self.hosts)
        return f"master {self.master} of the Sentinels {hosts}" if self.master else hosts

    @property
    def credentials(self) -> tuple[str, ...]:
        """What follows the command AUTH; empty where Redis asks for none."""
        if not self.password:
            return ()
        return (self.username, self.password) if self.username else (self.password,)

    @property
    def url(self) -> str:
        """A redis:// URL with the credentials and the database, for who parses and shows one.

        Its host is a Unix socket's path, or the first Sentinel, where it is no server's.
        """
        host, port = self.hosts[0] if self.hosts else (quote(self.socket_path, safe=""), REDIS_PORT)
        host = f"[{host}]" if ":" in host else host
        account = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        return f"redis://{account if self.password else ''}{host}:{port}/{self.database}"


def parse_redis_url(url: str) -> RedisAddress:
    """Return the address that a URL in one of FORMS stands for; raises ValueError for others.

    Options after a question mark are refused: TLS has settings of its own, and one that turned
    verification off would do so silently.
    """
    parts = urlsplit(url)
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "unix" and not parts.hostname and parts.path.startswith("/"):
        path, (name, _, number) = unquote(parts.path), parts.query.partition("=")
        if name not in ("", "db"):
            raise ValueError("a Redis URL has no options")
        return RedisAddress(
            socket_path=path, username=username, password=password,
            database=_database(number) if name else 0,
        )  # fmt: skip
    if "?" in url or "#" in url:
        raise ValueError("a Redis URL has no options")
    if parts.scheme.removesuffix(SENTINEL) not in ("redis", "rediss"):
        raise ValueError("unknown scheme")
    by_sentinel = parts.scheme.endswith(SENTINEL)
    words = [unquote(word) for word in parts.path.strip("/").split("/") if word]
    master = words.pop(0) if by_sentinel and words else ""
    hosts = _hosts(parts, SENTINEL_PORT if by_sentinel else REDIS_PORT)
    if bool(master) is not by_sentinel or len(words) > 1 or (len(hosts) > 1 and not master):
        raise ValueError("not one of the forms")
    return RedisAddress(
        hosts=hosts,
        master=master,
        database=_database(words[0]) if words else 0,
        username=username,
        password=password,
        tls=parts.scheme.startswith("rediss"),
    )


def _hosts(parts: SplitResult, default_port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for text in parts.netloc.rpartition("@")[2].split(","):
        host = urlsplit(f"//{text.strip()}")
        if not host.hostname:
            raise ValueError("a host is missing")
        found.append((host.hostname, host.port or default_port))
    return tuple(found)


def _database(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("a database is a number")
    return int(text)
