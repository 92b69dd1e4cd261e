"""What turns a setting's text into its value; each raises ValueError for what it cannot use."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import TypeVar

from .redis_address import parse_redis_url

T = TypeVar("T")

PROJECT_NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""What Compose accepts as a project name (compose-spec, "name" top-level element)."""
SECRET_PREFIX = "whsec_"


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Return a parser of numbers from ``low`` to ``high``."""

    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:  # False for NaN, too
            raise ValueError
        return value

    return parse


def optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """Return a parser that takes what ``parse`` takes, or nothing: None."""
    return lambda text: parse(text) if text else None


def choice(*words: str) -> Callable[[str], str]:
    """Return a parser that takes one of these words, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return parse


def flag(text: str) -> bool:
    """Return the truth value that 1, true, yes, 0, false or no stands for."""
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[
        text.lower()
    ]


def ports(text: str) -> tuple[int, ...]:
    """Return the ports in a list that is separated by commas; it may be empty."""
    return tuple(PORT(each) for each in text.split(",")) if text else ()


def count_or(word: str, high: int) -> Callable[[str], int]:
    """Return a parser of a whole number, or of ``word`` (0 in the settings object)."""
    whole_number = integer(1, high)

    def parse(text: str) -> int:
        return 0 if text.lower() == word else whole_number(text)

    return parse


def project_name(text: str) -> str:
    """Return a name that Compose accepts for a project."""
    if not PROJECT_NAME_PATTERN.fullmatch(text):
        raise ValueError
    return text


def memory(text: str) -> str:
    """Return a size as Redis writes it, such as 512mb."""
    if not re.fullmatch(r"[1-9][0-9]*(kb|mb|gb)", text.lower()):
        raise ValueError
    return text.lower()


def api_keys(text: str) -> tuple[tuple[str, str], ...]:
    """Return names and SHA-256 hashes of API keys; a hash without a name is its own."""
    keys = []
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, _, digest = entry.rpartition(":")
        if not re.fullmatch(r"[0-9a-f]{64}", digest.lower()):
            raise ValueError
        keys.append((name or digest.lower(), digest.lower()))
    return tuple(keys)


def credential(text: str) -> str:
    """Return what HTTP's basic authentication can carry and Flower can compare."""
    if not (text.isascii() and text.isprintable() and ":" not in text):
        raise ValueError
    return text


def bearer_key(text: str) -> str:
    """Return a key that can be sent as a bearer token; nothing stays nothing."""
    if text and not re.fullmatch(r"[!-~]{16,}", text):
        raise ValueError
    return text


def origins(text: str) -> tuple[str, ...]:
    """Return web origins, such as https://app.example, or the star that stands for all."""
    found = tuple(each.strip().lower().rstrip("/") for each in text.split(",") if each.strip())
    for origin in found:
        if origin != "*" and not re.fullmatch(r"https?://[a-z0-9.:\[\]_-]+", origin):
            raise ValueError
    return found


def url_path(text: str) -> str:
    """Return a path such as /models/iris, which does not end in a slash; it may be empty."""
    if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", text):
        raise ValueError
    return text


def domain(text: str) -> str:
    """Return a host name in lower case; it may be empty."""
    label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if text and not re.fullmatch(rf"({label}\.)*{label}", text.lower()):
        raise ValueError
    return text.lower()


def host_names(text: str) -> tuple[str, ...]:
    """Return names and addresses of hosts, in lower case, without ports."""
    found = tuple(each.strip().lower() for each in text.split(",") if each.strip())
    if not all(re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:]+", name) for name in found):
        raise ValueError
    return found


def proxies(text: str) -> tuple[str, ...]:
    """Return addresses, networks and names, in their usual notation."""
    found = []
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        try:
            found.append(str(ip_network(entry)).removesuffix("/32").removesuffix("/128"))
        except ValueError:
            if not re.fullmatch(r"[a-z0-9_-]*[a-z_][a-z0-9._-]*", entry.lower()):
                raise
            found.append(entry.lower())
    return tuple(found)


def signing_secret(text: str) -> bytes:
    """Return a secret of Standard Webhooks, which is written as ``whsec_`` and base64."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a callback secret must be whsec_ and base64") from error
    if not text.startswith(SECRET_PREFIX) or not 24 <= len(secret) <= 64:
        raise ValueError("a callback secret must be whsec_ and base64 of 24 to 64 bytes")
    return secret


def signing_secrets(text: str) -> str:
    """Return secrets as they are written, separated by spaces."""
    for secret in text.split():
        signing_secret(secret)
    return text


def hosts_and_networks(text: str) -> str:
    """Return names, addresses and networks as they are written, separated by commas."""
    for item in filter(None, (item.strip() for item in text.split(","))):
        if "/" in item:
            ip_network(item.strip("[]"))
        elif ":" in item:
            ip_address(item.strip("[]"))
        elif len(item.split()) > 1:
            raise ValueError
    return text


def any_text(text: str) -> str:
    """Return the text as it is."""
    return text


def redis_url(text: str) -> str:
    """Return a URL that says where Redis is; nothing stays nothing."""
    if text:
        parse_redis_url(text)
    return text


def address(text: str) -> str:
    """Return an IP address in its usual notation; nothing stays nothing."""
    # A name would do for a socket; the Docker engine takes what it cannot read for "everywhere".
    return str(ip_address(text)) if text else ""


PORT = integer(1, 65535)
