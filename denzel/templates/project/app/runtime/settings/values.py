"""The settings' values, and the one place that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from .processors import available_processors
from .redis_address import RedisAddress, parse_redis_url
from .secrets import completed, read_copy
from .table import IN_EITHER_FILE, INTERNAL, SECRETS, SETTINGS

HTTPS_SERVICE, BALANCER_SERVICE = "https", "balancer"
"""The names of the services that are a Caddy, and so of their containers in the network."""
LOOPBACK_HOSTS = ("localhost", "::1")
API_PATHS = frozenset(
    {"/cancel", "/health", "/info", "/metrics", "/openapi.json", "/page", "/predict", "/status"}
)
"""How the paths of the API begin."""
TLS_FILES = ("redis_ca", "redis_certificate", "redis_key")


class SettingError(ValueError):
    """A setting's text cannot be used; the message names the setting and what it takes."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


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
    api_prefix: str
    monitor_prefix: str
    trusted_proxies: tuple[str, ...]
    allowed_hosts: tuple[str, ...]
    https_domain: str
    https_certificates: str
    https_port: int
    http_port: int
    cors_origins: tuple[str, ...]
    cors_credentials: bool
    page: bool
    verify_threads: int
    gpu: bool
    workers_per_gpu: int
    gpu_count: int
    api_workers: int
    worker_concurrency: int
    api_replicas: int
    worker_replicas: int
    api_memory: str | None
    api_cpus: float | None
    worker_memory: str | None
    worker_cpus: float | None
    model_sharing: str
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
    stall_seconds: float
    cancel_running: bool
    result_ttl: int
    recovery_seconds: float
    max_deliveries: int
    callback_timeout: float
    callback_retry_seconds: float
    callback_secret: str
    callback_allow: str
    callback_failed_ttl: int
    callback_failed_max: int
    redis_max_memory: str
    redis_fsync: str
    redis_url: str
    redis_password: str
    redis_ca: str
    redis_certificate: str
    redis_key: str
    redis_sentinel_password: str
    redis_wait_replicas: int
    redis_wait_seconds: float
    versions_kept: int
    log_level: str
    log_format: str
    metrics_key: str
    with_metrics: bool
    grafana_port: int
    base_image: str
    redis_image: str
    caddy_image: str
    prometheus_image: str
    grafana_image: str
    image: str
    release_image: str
    own_redis_url: str
    api_published: str
    monitor_published: str
    published_ports: tuple[int, ...]
    denzel_run_dir: str
    denzel_logs: str
    denzel_replica: int
    api_replica_port: str
    api_replica_host: str
    api_shares_port: bool
    denzel_backend: str

    @cached_property
    def redis(self) -> RedisAddress:
        """Where Redis is, be it denzel's own."""
        address = parse_redis_url(self.redis_url or self.own_redis_url)
        return replace(
            address,
            password=address.password or self.redis_password,
            ca=self.redis_ca,
            certificate=self.redis_certificate,
            key=self.redis_key,
            sentinel_password=self.redis_sentinel_password,
        )

    @property
    def in_container(self) -> bool:
        """Whether the services run in containers, with a network of their own."""
        return self.denzel_backend != "local"

    @property
    def in_release_image(self) -> bool:
        """Whether everything is in an image, of which nothing can be changed while it runs."""
        return self.denzel_backend == "image"

    @property
    def api_address(self) -> str:
        """The address that others reach the API at."""
        return self.api_published or self.api_host or "127.0.0.1"

    @property
    def monitor_address(self) -> str:
        """The address that others reach the monitoring page at."""
        return self.monitor_published or self.monitor_host

    @property
    def exposure(self) -> str:
        """What is wrong with whom the monitoring page is shown to, empty when nothing is."""
        host = self.monitor_address
        if bool(self.monitor_user) != bool(self.monitor_password):
            return (
                "MONITOR_USER and MONITOR_PASSWORD go together; set the one in .env and the other "
                "in .env.secrets, or neither"
            )
        if host in LOOPBACK_HOSTS or host.startswith("127.") or self.monitor_user:
            return ""
        return (
            f"MONITOR_HOST={host} shows the monitoring page to other machines; set MONITOR_USER "
            "in .env and MONITOR_PASSWORD in .env.secrets, too"
        )

    @property
    def serves_monitor(self) -> bool:
        """Whether Caddy serves the monitoring page, too: only to those who have a password."""
        return bool(self.https_domain and self.monitor_user)

    @property
    def conflict(self) -> str:
        """Which settings do not go together, and what to do; empty when all do."""
        if self.cors_credentials and "*" in self.cors_origins:
            return (
                "CORS_CREDENTIALS=1 does not go with CORS_ORIGINS=*, which would let any page act "
                "for its visitors; name the origins"
            )
        ports = {self.https_port, self.http_port, self.api_port, self.monitor_port}
        if self.https_domain and len(ports) < 4:
            return "HTTPS_PORT, HTTP_PORT, API_PORT and MONITOR_PORT must be four different ports"
        if (self.redis_certificate or self.redis_ca) and not self.redis.tls:
            return (
                "REDIS_CA and REDIS_CERTIFICATE are for a Redis with TLS, whose REDIS_URL begins "
                "with rediss"
            )
        if self.api_prefix in API_PATHS:
            return (
                f"API_PREFIX={self.api_prefix} is a path of the API itself, which could not tell "
                "one from the other; publish it under another"
            )
        return ""

    @property
    def worker_name(self) -> str:
        """Celery's node name of the first worker; further ones have a number in theirs."""
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
            is_secret = setting.name in SECRETS or (setting.name in IN_EITHER_FILE and "@" in text)
            shown = setting.name if is_secret else f"{setting.name}={text}"
            message = f"{shown} cannot be used: it takes {setting.takes}"
            raise SettingError(message, setting.name) from error
    for name in TLS_FILES:  # in the project's own directory, whatever version of it serves
        if parsed[name]:
            parsed[name] = str(Path(values.get("DENZEL_PROJECT", ""), parsed[name]))
    return _behind_balancer(_behind_caddy(Settings(**parsed)))


def _behind_balancer(settings: Settings) -> Settings:
    """Return the settings with whom several replicas of the API are reached through."""
    if not settings.in_container or settings.api_replicas == 1:
        return settings
    return replace(settings, trusted_proxies=(*settings.trusted_proxies, BALANCER_SERVICE))


def _behind_caddy(settings: Settings) -> Settings:
    """Return the settings with what HTTPS_DOMAIN implies: who is trusted, names, a path."""
    if not settings.https_domain:
        return settings
    caddy = (HTTPS_SERVICE,) if settings.in_container else ("127.0.0.1", "::1")
    monitor_prefix = "/monitor" if settings.serves_monitor else ""
    return replace(
        settings,
        trusted_proxies=(*settings.trusted_proxies, *caddy),
        allowed_hosts=(*settings.allowed_hosts, settings.https_domain),
        monitor_prefix=settings.monitor_prefix or monitor_prefix,
    )


def run_directory() -> str:
    """Return where services write their states, whatever the other settings are worth."""
    (setting,) = (each for each in INTERNAL if each.name == "DENZEL_RUN_DIR")
    return os.environ.get(setting.name, "").strip() or setting.default


def load_settings() -> Settings:
    """Return the settings of this process, from its environment.

    A process that was started beside a container's service, as its health check, lacks the secrets
    that the service was started with: they are read from the copy that the service left for it.
    """
    return parse_settings(completed(os.environ, read_copy(run_directory())))
