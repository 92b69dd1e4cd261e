"""Whether the Redis that REDIS_URL names can serve this project, asked before it is relied on.

``denzel launch`` runs this module as a program, which prints what is worth knowing and ends with 1
where Redis cannot serve.  Services ask as they start, too.  The standard library alone is used.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Mapping

from .redis_socket import RedisConnection
from .resp import RedisRefused
from .settings import RedisAddress, Settings, load_settings

CHECK_SECONDS = 5.0
OLDEST_VERSION = 7
"""The first whose scripts may run when memory is full (``allow-oom``)."""
PROJECT_KEY = "denzel:project"
PERMISSIONS = "~* &* +@all -@dangerous +info"
"""What an ACL must allow its user (redis.io/docs/latest/commands/acl-setuser)."""
COMMANDS = """
    BLPOP k 1, BRPOP k 1, DEL k, EVAL x 0, EVALSHA x 0, EXISTS k, EXPIRE k 1, GET k, GETRANGE k 0
    1, HDEL k f, HGET k f, HGETALL k, HINCRBYFLOAT k f 1, HKEYS k, HLEN k, HMGET k f, HSET k f v,
    INFO, LINDEX k 0, LLEN k, LPOP k, LPUSH k v, MGET k, MSET k v, PERSIST k, PEXPIRE k 1, PUBLISH
    k v, RPOP k, RPUSH k v, SADD k m, SCARD k, SCRIPT EXISTS x, SCRIPT LOAD x, SET k v, SMEMBERS k,
    SRANDMEMBER k, SREM k m, STRLEN k, TIME, TTL k, UNLINK k, WAIT 0 1, ZADD k 1 m, ZCARD k, ZRANGE
    k 0 1, ZRANGEBYSCORE k 0 1, ZREM k m, ZREMRANGEBYSCORE k 0 1, ZREVRANGEBYSCORE k 1 0, ZSCORE k
    m
"""
"""The commands that denzel and Celery use, each with arguments that Redis takes."""


class RedisUnusable(Exception):
    """Redis cannot serve this project until something is changed; the text says what."""


def check_redis(settings: Settings) -> list[str]:
    """Return what is worth knowing of the Redis that serves this project, a line each.

    The database is marked as this project's.  Raises RedisUnusable, and OSError or RedisRefused
    for what may pass: Redis cannot be reached, or is still loading its data.
    """
    address = settings.redis
    try:
        with RedisConnection(address, CHECK_SECONDS) as redis:
            if redis.ask("PING") != "PONG":
                raise RedisUnusable(f"What answers at {address} is no Redis; correct REDIS_URL")
            _check_commands(redis, address)
            found = _read_info(redis)
            _check_server(found, address)
            return [*_mark(redis, settings), *_notices(found, settings)]
    except ssl.SSLCertVerificationError as error:
        raise RedisUnusable(
            f"The certificate of Redis ({address}) is not trusted: {error.verify_message}. Name "
            "the certificate authority that signed it in REDIS_CA"
        ) from error
    except RedisRefused as error:
        refusal = str(error).rstrip(".")
        if remedy := _remedy(refusal):
            raise RedisUnusable(f"Redis ({address}) answers {refusal}: {remedy}") from error
        raise


def _remedy(refusal: str) -> str:
    if refusal.startswith("WRONGPASS") or "invalid password" in refusal:
        return (
            "it knows another user (REDIS_URL) or password (REDIS_PASSWORD in .env.secrets, which "
            "denzel made for its own Redis unless you changed it)"
        )
    if refusal.startswith("NOAUTH"):
        return "set REDIS_PASSWORD in .env.secrets"
    if "without any password configured" in refusal:
        return "it asks for no password, so REDIS_PASSWORD in .env.secrets must be empty"
    if "DB index is out of range" in refusal:
        return "REDIS_URL ends in the number of a database that it has not got"
    if "cluster mode" in refusal:
        return CLUSTER
    return ""


CLUSTER = (
    "denzel does not run on Redis Cluster: one script changes the keys of many requests and of "
    "their queue together, which would lie on different nodes"
)


def _check_commands(redis: RedisConnection, address: RedisAddress) -> None:
    """Raise RedisUnusable for commands that this user may not use, or that are not there.

    Permissions are checked when a command is queued in a transaction, which is discarded.
    """
    missing: dict[str, list[str]] = {"NOPERM": [], "ERR unknown": []}
    redis.ask("MULTI")
    for line in COMMANDS.split(","):
        words = ["denzel:check" if word == "k" else word for word in line.split()]
        try:
            redis.ask(*words)
        except RedisRefused as error:
            for kind, names in missing.items():
                if str(error).startswith(kind):
                    names.append(words[0])
    redis.ask("DISCARD")
    if names := missing["NOPERM"]:
        raise RedisUnusable(
            f"Redis ({address}) does not let the user {address.username or 'default'} use "
            f"{', '.join(names)}; its ACL needs {PERMISSIONS}"
        )
    if names := missing["ERR unknown"]:
        raise RedisUnusable(
            f"Redis ({address}) has no command {', '.join(names)}: it is too old, or they were "
            "renamed there"
        )


def _read_info(redis: RedisConnection) -> dict[str, str]:
    lines = str(redis.ask("INFO")).splitlines()
    return {name: text for name, _, text in (line.partition(":") for line in lines)}


def _check_server(found: Mapping[str, str], address: RedisAddress) -> None:
    version = found.get("redis_version", "0")
    if int(version.partition(".")[0]) < OLDEST_VERSION:
        raise RedisUnusable(
            f"Redis ({address}) is {version}, too old: denzel needs {OLDEST_VERSION} or newer"
        )
    if found.get("redis_mode") == "cluster" or found.get("cluster_enabled") == "1":
        raise RedisUnusable(f"Redis ({address}) is in cluster mode: {CLUSTER}")
    if found.get("role") == "slave":
        raise RedisRefused(f"READONLY Redis ({address}) is a replica; REDIS_URL must name a master")
    policy = _eviction(found)
    if policy.startswith("allkeys"):
        raise RedisUnusable(
            f"Redis ({address}) evicts what it holds when its memory is full (maxmemory-policy "
            f"{policy}), be it an accepted request; set maxmemory-policy noeviction there"
        )


def _eviction(found: Mapping[str, str]) -> str:
    """Return the policy by which keys are evicted; empty where none ever are."""
    policy = found.get("maxmemory_policy", "")
    return "" if policy == "noeviction" or found.get("maxmemory", "0") == "0" else policy


def _notices(found: Mapping[str, str], settings: Settings) -> list[str]:
    where, wanted = f"Redis ({settings.redis})", settings.redis_wait_replicas
    notices = []
    if found.get("aof_enabled", "1") != "1":
        notices.append(
            f"{where} keeps no append-only file: when it is started again, what was accepted since "
            "its last snapshot is lost, unless a replica has taken its place"
        )
    if policy := _eviction(found):
        notices.append(
            f"{where} evicts what has a time to live when its memory is full (maxmemory-policy "
            f"{policy}): results and Idempotency-Keys, before their time; noeviction keeps them"
        )
    if int(found.get("connected_slaves", wanted)) < wanted:
        notices.append(
            f"{where} has {found['connected_slaves']} replicas, and REDIS_WAIT_REPLICAS={wanted}: "
            "asynchronous requests are answered 503 until there are as many"
        )
    return notices


def _mark(redis: RedisConnection, settings: Settings) -> list[str]:
    """Note whose database this is; raise RedisUnusable if it is another project's."""
    number, name = settings.redis.database, settings.project_name
    others = redis.ask("DBSIZE")
    owner = redis.ask("SET", PROJECT_KEY, name, "NX", "GET")
    if owner not in (None, name):
        raise RedisUnusable(
            f"Database {number} of Redis ({settings.redis}) is the project {owner}'s: give "
            f"this one a number of its own at the end of REDIS_URL (if {owner} was renamed, delete "
            f"the key {PROJECT_KEY} there)"
        )
    if owner is None and others:
        return [
            f"Database {number} of Redis ({settings.redis}) holds keys of something else: one "
            "of its own, as by another number at the end of REDIS_URL, keeps them apart"
        ]
    return []


def _question(address: RedisAddress, error: OSError) -> str:
    """Return what to look at where Redis cannot be reached."""
    if address.tls and isinstance(error, ssl.SSLError | TimeoutError):
        return "does it speak TLS at that port, as rediss:// in REDIS_URL asks for?"
    if not address.tls and isinstance(error, ConnectionResetError):
        return "does it speak TLS at that port? Then REDIS_URL begins with rediss://"
    return "is REDIS_URL right, and may this machine reach what it names?"


def main() -> int:
    """Print what is worth knowing; 1 if Redis cannot serve."""
    settings = load_settings()
    try:
        notices = check_redis(settings)
    except RedisUnusable as error:
        problem = str(error)
    except RedisRefused as error:
        problem = f"Redis ({settings.redis}) answers {error}"
    except OSError as error:
        reason, question = error.strerror or error, _question(settings.redis, error)
        problem = f"Redis ({settings.redis}) cannot be reached: {reason}; {question}"
    else:
        print("\n".join(notices))
        return 0
    print(problem, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
