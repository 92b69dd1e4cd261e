"""The deployment's settings: the table, and the one place that reads the environment.

Every value comes from ``.env`` (Compose and denzel pass it on as environment variables).
The table below is the single source of names, defaults and meanings: ``denzel startproject``
writes ``.env`` from it, and the documentation's settings page is made from it.

This module uses the standard library alone and has no side effects.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

PROJECT_NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""What Compose accepts as a project name (compose-spec, "name" top-level element)."""


LOOPBACK_HOSTS = ("localhost", "::1")


class SettingError(ValueError):
    """A setting's text cannot be used; the message names the setting and what it takes."""


@dataclass(frozen=True)
class Setting:
    """One line of ``.env``: ``parse`` turns its text into a value or raises ValueError."""

    name: str
    default: str
    parse: Callable[[str], Any]
    takes: str
    meaning: str


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:  # False for NaN, too
            raise ValueError
        return value

    return parse


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return parse


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[
        text.lower()
    ]


def _count(high: int) -> Callable[[str], int]:
    """A whole number of processes, or ``auto`` (0 in the settings object)."""
    integer = _integer(1, high)

    def parse(text: str) -> int:
        return 0 if text.lower() == "auto" else integer(text)

    return parse


def _project_name(text: str) -> str:
    if not PROJECT_NAME_PATTERN.fullmatch(text):
        raise ValueError
    return text


def _memory(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]*(kb|mb|gb)", text.lower()):
        raise ValueError
    return text.lower()


def _api_keys(text: str) -> tuple[tuple[str, str], ...]:
    """Names and SHA-256 hashes of API keys; a hash without a name is its own."""
    keys = []
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, _, digest = entry.rpartition(":")
        if not re.fullmatch(r"[0-9a-f]{64}", digest.lower()):
            raise ValueError
        keys.append((name or digest.lower(), digest.lower()))
    return tuple(keys)


def _credential(text: str) -> str:
    """What HTTP's basic authentication can carry, and Flower compare."""
    if not (text.isascii() and text.isprintable() and ":" not in text):
        raise ValueError
    return text


def _text(text: str) -> str:
    return text


def _redis_url(text: str) -> str:
    if not text.startswith(("redis://", "unix://")):
        raise ValueError
    return text


def _address(text: str) -> str:
    # A name would do for a socket; the Docker engine takes what it cannot read for "everywhere".
    return str(ip_address(text)) if text else ""


PORT = _integer(1, 65535)

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "PROJECT_NAME",
        "denzel",
        _project_name,
        "lower-case letters, digits, _ and -",
        "Name of the deployment: its containers, its network and its worker carry it.",
    ),
    Setting(
        "API_PORT",
        "8000",
        PORT,
        "a port, 1 to 65535",
        "Port of the prediction API on this machine.",
    ),
    Setting(
        "MONITOR_PORT",
        "5555",
        PORT,
        "a port, 1 to 65535",
        "Port of the monitoring page (Flower) on this machine.",
    ),
    Setting(
        "API_HOST",
        "",
        _address,
        "an IP address, or empty",
        "Address the API is published on. Empty: every interface in Docker, 127.0.0.1 with "
        "local processes.",
    ),
    Setting(
        "MONITOR_HOST",
        "127.0.0.1",
        _address,
        "an IP address",
        "Address the monitoring page is published on; one that other machines reach only "
        "together with MONITOR_USER.",
    ),
    Setting(
        "MONITOR_USER",
        "",
        _credential,
        "a name in ASCII without a colon, or empty",
        "Who may see the monitoring page; MONITOR_PASSWORD goes with it. Empty: everybody who "
        "reaches it, which is why MONITOR_HOST must be an address of this machine alone then.",
    ),
    Setting(
        "MONITOR_PASSWORD",
        "",
        _credential,
        "a password in ASCII without a colon, or empty",
        "The password of MONITOR_USER.",
    ),
    Setting(
        "MONITOR_CONTROL",
        "0",
        _flag,
        "0 or 1",
        "1: the monitoring page can also stop workers, change them, and revoke tasks.",
    ),
    Setting(
        "API_KEYS",
        "",
        _api_keys,
        "NAME:HASH, separated by commas, or empty",
        "Who may ask for predictions: SHA-256 hashes of keys, each with a name. `denzel apikey "
        "NAME` makes a key and adds its hash here. Empty: everybody who reaches the API.",
    ),
    Setting(
        "GPU", "0", _flag, "0 or 1", "1: the worker runs on GPUs, one process and one model each."
    ),
    Setting(
        "API_WORKERS",
        "auto",
        _count(1024),
        "a whole number, or auto",
        "Processes that answer HTTP. auto: one for every two processors, at least one.",
    ),
    Setting(
        "WORKER_CONCURRENCY",
        "auto",
        _count(1024),
        "a whole number, or auto",
        "Predictions made at the same time. auto: one for every processor; with GPU=1, one for "
        "every visible GPU.",
    ),
    Setting(
        "BATCH_MAX_SIZE",
        "64",
        _integer(1, 4096),
        "1 to 4096",
        "Most requests given to predict_batch together, in a pipeline that has it.",
    ),
    Setting(
        "BATCH_MAX_WAIT",
        "0",
        _seconds(0, 60),
        "seconds",
        "How long a request may wait for others to be batched with while a worker process is "
        "free. 0: only where it was measured to pay, for some milliseconds: for quick requests "
        "under way, and for clients just answered whom a batch can take at no cost.",
    ),
    Setting(
        "MODEL_LOAD_TIMEOUT",
        "3600",
        _seconds(1, 7 * 86400),
        "seconds, at least 1",
        "How long load_model may take before a worker process is given up.",
    ),
    Setting(
        "MAX_BODY_MB",
        "16",
        _seconds(0.001, 1024),
        "megabytes (2^20 bytes)",
        "Largest request body; a larger one is answered 413.",
    ),
    Setting(
        "MAX_JSON_DEPTH",
        "100",
        _integer(1, 900),
        "1 to 900",
        "Deepest nesting of lists and objects in a request; a deeper one is answered 400.",
    ),
    Setting(
        "MAX_HEADER_BYTES",
        "8190",
        _integer(512, 65536),
        "512 to 65536",
        "Longest request line, and longest line of a request's head; a longer one is answered "
        "414 or 431.",
    ),
    Setting(
        "MAX_QUEUE",
        "1000000",
        _integer(1, 10**9),
        "1 to 1000000000",
        "Most asynchronous requests that may be queued; one more is answered 503.",
    ),
    Setting(
        "MAX_WAITING",
        "8000",
        _integer(1, 10**6),
        "1 to 1000000",
        "Most clients that may wait for an answer of one API process; one more is answered 503.",
    ),
    Setting(
        "CLIENT_TIMEOUT",
        "60",
        _integer(1, 3600),
        "whole seconds, at least 1",
        "How long a client may take to send a request's head, how long its body or its reading "
        "of the answer may stall, and how long an idle connection is kept.",
    ),
    Setting(
        "PREDICTION_TIMEOUT",
        "21600",
        _seconds(0, 7 * 86400),
        "seconds; 0: no limit",
        "How long a prediction may take; then it fails, and its worker process goes on. One "
        "that cannot be interrupted is ended with its process 10 seconds later.",
    ),
    Setting(
        "CANCEL_RUNNING",
        "0",
        _flag,
        "0 or 1",
        "1: POST /cancel also stops a prediction that is being made, by ending its worker "
        "process. On a GPU the next one loads the model again.",
    ),
    Setting(
        "RESULT_TTL",
        "86400",
        _integer(1, 365 * 86400),
        "seconds",
        "How long a result can be asked for at /status after the prediction is made.",
    ),
    Setting(
        "RECOVERY_SECONDS",
        "20",
        _seconds(5, 3600),
        "seconds, at least 5",
        "How long after a worker's death its asynchronous requests are given to another.",
    ),
    Setting(
        "MAX_DELIVERIES",
        "3",
        _integer(1, 100),
        "1 to 100",
        "How often an asynchronous request is tried whose worker process dies; then it fails.",
    ),
    Setting(
        "CALLBACK_TIMEOUT",
        "30",
        _seconds(0.1, 3600),
        "seconds",
        "How long a callback's receiver may take to answer.",
    ),
    Setting(
        "CALLBACK_RETRY_SECONDS",
        "86400",
        _seconds(0, 30 * 86400),
        "seconds",
        "How long delivery of a callback is tried again and again before it is given up.",
    ),
    Setting(
        "CALLBACK_SECRET",
        "",
        _text,
        "whsec_ and base64, or empty",
        "Signs callbacks (Standard Webhooks); give it to receivers. Several, separated by "
        "spaces, all sign. Empty: callbacks are not signed.",
    ),
    Setting(
        "CALLBACK_ALLOW",
        "",
        _text,
        "host names and networks, separated by commas",
        "Where callbacks may go besides what is allowed anyway, such as 10.1.0.0/16 or "
        "receiver.example. Loopback, link-local and the deployment's own services are not "
        "allowed otherwise; local processes may call back to loopback.",
    ),
    Setting(
        "REDIS_MAX_MEMORY",
        "2gb",
        _memory,
        "a size, such as 512mb or 4gb",
        "Most memory Redis may use for requests and results. When nine tenths are used, "
        "requests are answered 503; nothing is ever evicted.",
    ),
    Setting(
        "REDIS_FSYNC",
        "always",
        _choice("everysec", "always"),
        "everysec or always",
        "When what Redis writes is on the disk. always: before a request is accepted, so that none "
        "is lost with the machine. everysec: within a second, to accept more. Synchronous requests "
        "wait for neither.",
    ),
    Setting(
        "REDIS_PASSWORD",
        "",
        _text,
        "a password, or empty",
        "What the services tell Redis to be let in. Redis is reachable for them alone anyway.",
    ),
    Setting(
        "LOG_LEVEL",
        "info",
        _choice("debug", "info", "warning", "error"),
        "debug, info, warning or error",
        "Least severe message that is logged.",
    ),
    Setting(
        "BASE_IMAGE",
        "python:3.13-slim",
        _text,
        "an image",
        "Image the project's own image is built from; name a mirror's here.",
    ),
    Setting("REDIS_IMAGE", "redis:8", _text, "an image", "Image of the Redis service."),
    Setting(
        "IMAGE",
        "denzel-project:1.0.0",
        _text,
        "an image name with a tag",
        "Name given to the image built for this project.",
    ),
)

INTERNAL: tuple[Setting, ...] = (
    Setting(
        "REDIS_URL",
        "redis://127.0.0.1:6379/0",
        _redis_url,
        "a redis:// or unix:// URL",
        "Where Redis is; set by the backend.",
    ),
    Setting(
        "MONITOR_PUBLISHED",
        "",
        _text,
        "an address, or empty",
        "Address the monitor's container is published on; set by the Compose file.",
    ),
    Setting(
        "DENZEL_RUN_DIR",
        ".denzel/run",
        _text,
        "a directory",
        "Where services write their state; set by the backend.",
    ),
    Setting(
        "DENZEL_BACKEND",
        "local",
        _choice("local", "docker"),
        "local or docker",
        "What runs the services; set by the backend.",
    ),
)
"""Read like settings, but set by the backend and never written into ``.env``."""


@dataclass(frozen=True)
class Settings:
    """The settings' values, parsed; field names are the settings' names in lower case."""

    project_name: str
    api_port: int
    monitor_port: int
    api_host: str
    monitor_host: str
    monitor_user: str
    monitor_password: str
    monitor_control: bool
    api_keys: tuple[tuple[str, str], ...]
    gpu: bool
    api_workers: int
    worker_concurrency: int
    batch_max_size: int
    batch_max_wait: float
    model_load_timeout: float
    max_body_mb: float
    max_json_depth: int
    max_header_bytes: int
    max_queue: int
    max_waiting: int
    client_timeout: int
    prediction_timeout: float
    cancel_running: bool
    result_ttl: int
    recovery_seconds: float
    max_deliveries: int
    callback_timeout: float
    callback_retry_seconds: float
    callback_secret: str
    callback_allow: str
    redis_max_memory: str
    redis_fsync: str
    redis_password: str
    log_level: str
    base_image: str
    redis_image: str
    image: str
    redis_url: str
    monitor_published: str
    denzel_run_dir: str
    denzel_backend: str

    @property
    def in_container(self) -> bool:
        """Whether the services run in containers, with a network of their own."""
        return self.denzel_backend == "docker"

    @property
    def exposure(self) -> str:
        """What is wrong with whom the monitoring page is shown to, empty when nothing is."""
        host = self.monitor_published or self.monitor_host
        if bool(self.monitor_user) != bool(self.monitor_password):
            return "MONITOR_USER and MONITOR_PASSWORD go together; set both in .env, or neither"
        if host in LOOPBACK_HOSTS or host.startswith("127.") or self.monitor_user:
            return ""
        return (
            f"MONITOR_HOST={host} shows the monitoring page to other machines; set MONITOR_USER "
            "and MONITOR_PASSWORD in .env, too"
        )

    @property
    def worker_name(self) -> str:
        """Celery's node name of the worker."""
        return f"worker@{self.project_name}"

    @property
    def api_processes(self) -> int:
        """How many processes answer HTTP."""
        return self.api_workers or max(1, available_processors() // 2)

    @property
    def max_body_bytes(self) -> int:
        """Largest request body, in bytes."""
        return int(self.max_body_mb * 2**20)


def parse_settings(values: Mapping[str, str]) -> Settings:
    """Return the settings given by ``values``; a missing or empty one has its default.

    Unknown names are ignored.  Raises SettingError for a value that cannot be used.
    """
    parsed = {}
    for setting in SETTINGS + INTERNAL:
        text = values.get(setting.name, "").strip() or setting.default
        try:
            parsed[setting.name.lower()] = setting.parse(text)
        except (ValueError, KeyError) as error:
            raise SettingError(
                f"{setting.name}={text} cannot be used: it takes {setting.takes}"
            ) from error
    settings = Settings(**parsed)
    return replace(settings, redis_url=_with_password(settings.redis_url, settings.redis_password))


def _with_password(url: str, password: str) -> str:
    """Return a Redis URL with a password in it, unless it holds credentials already."""
    parts = urlsplit(url)
    if not password or parts.password is not None:
        return url
    return parts._replace(netloc=f":{quote(password, safe='')}@{parts.netloc}").geturl()


def load_settings() -> Settings:
    """Return the settings of this process, from its environment."""
    return parse_settings(os.environ)


def available_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
