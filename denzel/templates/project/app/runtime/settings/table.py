"""The table of settings: the one source of names, defaults and meanings.

``denzel startproject`` writes ``.env`` and ``.env.secrets`` from it, and the documentation's
settings page is made from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .parsers import (
    PORT,
    address,
    any_text,
    api_keys,
    bearer_key,
    choice,
    count_or,
    credential,
    domain,
    flag,
    host_names,
    hosts_and_networks,
    integer,
    memory,
    number,
    optional,
    origins,
    ports,
    project_name,
    proxies,
    redis_url,
    signing_secrets,
    url_path,
)
from .redis_address import FORMS


@dataclass(frozen=True)
class Setting:
    """One line of ``.env``: ``parse`` turns its text into a value or raises ValueError.

    A ``secret`` one is a line of ``.env.secrets``, which stays out of version control, and its text
    is never shown.
    """

    name: str
    default: str
    parse: Callable[[str], Any]
    takes: str
    meaning: str
    secret: bool = False


MOST_REPLICAS = 100
"""Of a service on one machine; more is a slip of the fingers."""

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "PROJECT_NAME",
        "denzel",
        project_name,
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
        address,
        "an IP address, or empty",
        "Address the API is published on, of IPv4 or IPv6. Empty: every interface in Docker, "
        "127.0.0.1 with local processes, where :: stands for every address of both families.",
    ),
    Setting(
        "MONITOR_HOST",
        "127.0.0.1",
        address,
        "an IP address",
        "Address the monitoring page is published on; one that other machines reach only "
        "together with MONITOR_USER.",
    ),
    Setting(
        "MONITOR_USER",
        "",
        credential,
        "a name in ASCII without a colon, or empty",
        "Who may see the monitoring page; MONITOR_PASSWORD goes with it. Empty: everybody who "
        "reaches it, which is why MONITOR_HOST must be an address of this machine alone then.",
    ),
    Setting(
        "MONITOR_PASSWORD",
        "",
        credential,
        "a password in ASCII without a colon, or empty",
        "The password of MONITOR_USER. Made anew where it is missing.",
        secret=True,
    ),
    Setting(
        "MONITOR_CONTROL",
        "0",
        flag,
        "0 or 1",
        "1: the monitoring page can also stop workers, change them, and revoke tasks.",
    ),
    Setting(
        "API_KEYS",
        "",
        api_keys,
        "NAME:HASH, separated by commas, or empty",
        "Who may ask for predictions: SHA-256 hashes of keys, each with a name. `denzel apikey "
        "NAME` makes a key and adds its hash here. Empty: everybody who reaches the API.",
    ),
    Setting(
        "API_PREFIX",
        "",
        url_path,
        "a path such as /iris, or empty",
        "Path under which a proxy publishes the API; it is answered with and without it, so the "
        "proxy may pass the path on or cut it off.",
    ),
    Setting(
        "MONITOR_PREFIX",
        "",
        url_path,
        "a path such as /monitor, or empty",
        "Path under which a proxy publishes the monitoring page, which links to itself under it.",
    ),
    Setting(
        "TRUSTED_PROXIES",
        "",
        proxies,
        "addresses, networks and host names, separated by commas, or empty",
        "Proxies whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host are believed; from "
        "any other address they change nothing.",
    ),
    Setting(
        "ALLOWED_HOSTS",
        "",
        host_names,
        "host names, separated by commas, or empty",
        "Names, besides localhost, under which the API and the monitoring page answer where only "
        "this machine reaches them: those a proxy on it passes on, such as models.example.",
    ),
    Setting(
        "HTTPS_DOMAIN",
        "",
        domain,
        "a host name, or empty",
        "Name under which a Caddy serves the API by HTTPS, with certificates that it gets by "
        "itself, and the monitoring page if MONITOR_USER is set. Empty: there is no Caddy.",
    ),
    Setting(
        "HTTPS_CERTIFICATES",
        "acme",
        choice("acme", "internal"),
        "acme or internal",
        "Who signs Caddy's certificates. acme: Let's Encrypt, whose servers must reach ports 80 or "
        "443 of HTTPS_DOMAIN. internal: a certificate authority of its own.",
    ),
    Setting(
        "HTTPS_PORT",
        "443",
        PORT,
        "a port, 1 to 65535",
        "Port of this machine on which Caddy serves HTTPS.",
    ),
    Setting(
        "HTTP_PORT",
        "80",
        PORT,
        "a port, 1 to 65535",
        "Port of this machine on which Caddy answers plain HTTP, with redirects to HTTPS.",
    ),
    Setting(
        "CORS_ORIGINS",
        "",
        origins,
        "origins such as https://app.example, separated by commas, or an asterisk, or empty",
        "Whose web pages may use the API from their visitors' browsers. An asterisk: everybody's. "
        "Empty: only pages that the API's own host serves.",
    ),
    Setting(
        "CORS_CREDENTIALS",
        "0",
        flag,
        "0 or 1",
        "1: pages of CORS_ORIGINS, which must be named one by one then, may send cookies and HTTP "
        "authentication, such as a proxy in front of the API asks for.",
    ),
    Setting(
        "PAGE",
        "1",
        flag,
        "0 or 1",
        "1: the API answers `GET /` with a page to try the model in a browser, and to see how the "
        "service is. 0: there is no such page.",
    ),
    Setting(
        "VERIFY_THREADS",
        "8",
        integer(1, 1024),
        "1 to 1024",
        "How many calls of verify_input one API process makes at the same time, once it has shown "
        "itself slow.",
    ),
    Setting(
        "GPU",
        "0",
        flag,
        "0 or 1",
        "1: the worker runs on GPUs. Each of its processes sees one GPU alone, and loads the model "
        "there. CUDA_VISIBLE_DEVICES, on a line of its own, chooses among the GPUs.",
    ),
    Setting(
        "WORKERS_PER_GPU",
        "1",
        integer(1, 64),
        "1 to 64",
        "Processes for each GPU, with GPU=1; each has a copy of the model in the GPU's memory.",
    ),
    Setting(
        "GPU_COUNT",
        "all",
        count_or("all", 1024),
        "a whole number, or all",
        "How many of the machine's GPUs the worker's container gets, with GPU=1. Local processes "
        "see all.",
    ),
    Setting(
        "API_WORKERS",
        "auto",
        count_or("auto", 1024),
        "a whole number, or auto",
        "Processes that answer HTTP. auto: one for every two processors, at least one.",
    ),
    Setting(
        "WORKER_CONCURRENCY",
        "auto",
        count_or("auto", 1024),
        "a whole number, or auto",
        "Predictions made at the same time, each in a process of its own. auto: one for every "
        "processor; one with all processors as its threads where MODEL_SHARING finds that the "
        "model cannot be shared; with GPU=1, WORKERS_PER_GPU for every GPU.",
    ),
    Setting(
        "API_REPLICAS",
        "1",
        integer(1, MOST_REPLICAS),
        f"a whole number from 1 to {MOST_REPLICAS}",
        "How often the API is started on this machine, each time with API_WORKERS processes; "
        "`denzel scale api=N` changes it while services run.",
    ),
    Setting(
        "WORKER_REPLICAS",
        "1",
        integer(1, MOST_REPLICAS),
        f"a whole number from 1 to {MOST_REPLICAS}",
        "How many workers are started on this machine, each with WORKER_CONCURRENCY processes and "
        "its model; `denzel scale denzel=N` changes it while services run.",
    ),
    Setting(
        "API_MEMORY",
        "",
        optional(memory),
        "a size, such as 512mb or 4gb, or empty",
        "Most memory the API's container may use; a process that needs more is ended. Empty: no "
        "limit. Local processes have none.",
    ),
    Setting(
        "API_CPUS",
        "",
        optional(number(0.01, 4096)),
        "a number of processors, such as 1.5, or empty",
        "How many processors the API's container may use. Empty: all. Local processes use all.",
    ),
    Setting(
        "WORKER_MEMORY",
        "",
        optional(memory),
        "a size, such as 512mb or 4gb, or empty",
        "As API_MEMORY, for the worker's container: the model and all its processes together.",
    ),
    Setting(
        "WORKER_CPUS",
        "",
        optional(number(0.01, 4096)),
        "a number of processors, such as 1.5, or empty",
        "As API_CPUS, for the worker's container. WORKER_CONCURRENCY=auto counts these.",
    ),
    Setting(
        "MODEL_SHARING",
        "auto",
        choice("auto", "fork", "none"),
        "auto, fork or none",
        "Whether worker processes share one loaded model. auto: if loading it started no threads. "
        "fork: always; many models that keep threads wait for ever then. none: each process loads "
        "a copy of its own.",
    ),
    Setting(
        "BATCH_MAX_SIZE",
        "64",
        integer(1, 4096),
        "1 to 4096",
        "Most requests given to predict_batch together, in a pipeline that has it.",
    ),
    Setting(
        "BATCH_MAX_WAIT",
        "0",
        number(0, 60),
        "seconds",
        "How long a request may wait for others to be given to predict_batch with it, while a "
        "worker process is free. 0: not at all.",
    ),
    Setting(
        "MODEL_LOAD_TIMEOUT",
        "3600",
        number(1, 7 * 86400),
        "seconds, at least 1",
        "How long load_model, and then predicting for EXAMPLE, may take before it fails, or its "
        "process is ended.",
    ),
    Setting(
        "MAX_BODY_MB",
        "16",
        number(0.001, 1024),
        "megabytes (2^20 bytes)",
        "Largest request body; a larger one is answered 413.",
    ),
    Setting(
        "MAX_JSON_DEPTH",
        "100",
        integer(1, 900),
        "1 to 900",
        "Deepest nesting of lists and objects in a request; a deeper one is answered 400.",
    ),
    Setting(
        "MAX_HEADER_BYTES",
        "8190",
        integer(512, 65536),
        "512 to 65536",
        "Longest request line, and longest line of a request's head; a longer one is answered "
        "414 or 431.",
    ),
    Setting(
        "MAX_QUEUE",
        "1000000",
        integer(1, 10**9),
        "1 to 1000000000",
        "Most asynchronous requests that may be queued; one more is answered 503.",
    ),
    Setting(
        "MAX_WAITING",
        "8000",
        integer(1, 10**6),
        "1 to 1000000",
        "Most clients that may wait for an answer of one API process; one more is answered 503.",
    ),
    Setting(
        "CLIENT_TIMEOUT",
        "60",
        integer(1, 3600),
        "whole seconds, at least 1",
        "How long a client may take to send a request's head, how long its body or its reading "
        "of the answer may stall, and how long an idle connection is kept.",
    ),
    Setting(
        "PREDICTION_TIMEOUT",
        "21600",
        number(0, 7 * 86400),
        "seconds; 0: no limit",
        "How long a prediction may take; then it fails, and its worker process goes on. One "
        "that cannot be interrupted is ended with its process 10 seconds later.",
    ),
    Setting(
        "STALL_SECONDS",
        "30",
        number(0, 7 * 86400),
        "seconds; 0: never",
        "How long a prediction may go on without using the processor before `denzel status` and "
        "the log name it, with the line of code it waits at.",
    ),
    Setting(
        "CANCEL_RUNNING",
        "0",
        flag,
        "0 or 1",
        "1: POST /cancel also stops a prediction that is being made, by ending its worker "
        "process. On a GPU the next one loads the model again.",
    ),
    Setting(
        "RESULT_TTL",
        "86400",
        integer(1, 365 * 86400),
        "seconds",
        "How long a result can be asked for at /status after the prediction is made.",
    ),
    Setting(
        "RECOVERY_SECONDS",
        "20",
        number(5, 3600),
        "seconds, at least 5",
        "How long after a worker's death its requests are given to another. One that starts in "
        "its place gets them at once.",
    ),
    Setting(
        "MAX_DELIVERIES",
        "3",
        integer(1, 100),
        "1 to 100",
        "How often an asynchronous request is tried whose worker process dies; then it fails.",
    ),
    Setting(
        "CALLBACK_TIMEOUT",
        "30",
        number(0.1, 3600),
        "seconds",
        "How long a callback's receiver may take to answer.",
    ),
    Setting(
        "CALLBACK_RETRY_SECONDS",
        "86400",
        number(0, 30 * 86400),
        "seconds",
        "How long delivery of a callback is tried again and again before it is given up.",
    ),
    Setting(
        "CALLBACK_SECRET",
        "",
        signing_secrets,
        "whsec_ and base64 of 24 to 64 bytes",
        "Signs callbacks (Standard Webhooks); give it to receivers. Several, separated by "
        "spaces, all sign. Made anew where it is missing.",
        secret=True,
    ),
    Setting(
        "CALLBACK_ALLOW",
        "",
        hosts_and_networks,
        "host names and networks, separated by commas",
        "Where callbacks may go besides what is allowed anyway, such as 10.1.0.0/16 or "
        "receiver.example. Loopback, link-local and the deployment's own services are not "
        "allowed otherwise; local processes may call back to loopback.",
    ),
    Setting(
        "CALLBACK_FAILED_TTL",
        "604800",
        integer(1, 365 * 86400),
        "seconds",
        "How long a callback that was given up, and its prediction, are kept, to be sent again "
        "with `denzel callbacks --retry`.",
    ),
    Setting(
        "CALLBACK_FAILED_MAX",
        "10000",
        integer(0, 10**9),
        "0 to 1000000000",
        "Most callbacks that were given up which are kept; one more, and the oldest is forgotten.",
    ),
    Setting(
        "REDIS_MAX_MEMORY",
        "2gb",
        memory,
        "a size, such as 512mb or 4gb",
        "Most memory Redis may use for requests and results. When nine tenths are used, "
        "requests are answered 503; nothing is ever evicted.",
    ),
    Setting(
        "REDIS_FSYNC",
        "always",
        choice("everysec", "always"),
        "everysec or always",
        "When what Redis writes is on the disk. always: before a request is accepted, so that none "
        "is lost with the machine. everysec: within a second, to accept more. Synchronous requests "
        "wait for neither.",
    ),
    Setting(
        "REDIS_URL",
        "",
        redis_url,
        FORMS,
        "A Redis of yours, in place of the one that denzel runs, which then is not started; "
        "REDIS_MAX_MEMORY, REDIS_FSYNC and REDIS_IMAGE are that one's alone. Each project needs a "
        "database of its own. The password may stand in REDIS_PASSWORD; a URL with a password "
        "belongs into .env.secrets.",
    ),
    Setting(
        "REDIS_PASSWORD",
        "",
        any_text,
        "a password",
        "What the services tell Redis to be let in. That of denzel's own Redis, which is reachable "
        "for the services alone, is made anew where it is missing; with REDIS_URL it is that of "
        "the user named there.",
        secret=True,
    ),
    Setting(
        "REDIS_CA",
        "",
        any_text,
        "a file, or empty",
        "Certificate authorities (PEM) that the certificate of a Redis with TLS is checked "
        "against; a relative path is one in the project. Empty: those of the system.",
    ),
    Setting(
        "REDIS_CERTIFICATE",
        "",
        any_text,
        "a file, or empty",
        "Certificate (PEM) that the services show to a Redis which asks its clients for one.",
    ),
    Setting(
        "REDIS_KEY",
        "",
        any_text,
        "a file, or empty",
        "Private key (PEM) of REDIS_CERTIFICATE. Empty: it stands in the same file.",
    ),
    Setting(
        "REDIS_SENTINEL_PASSWORD",
        "",
        any_text,
        "a password, or empty",
        "What the services tell the Sentinels of a redis+sentinel:// URL to be let in.",
        secret=True,
    ),
    Setting(
        "REDIS_WAIT_REPLICAS",
        "0",
        integer(0, 16),
        "0 to 16",
        "How many replicas of Redis must have an asynchronous request before it is accepted "
        "(the command WAIT), so that it outlives the master. 0: none is waited for.",
    ),
    Setting(
        "REDIS_WAIT_SECONDS",
        "1",
        number(0.01, 4),
        "seconds, 0.01 to 4",
        "How long these replicas are waited for; then the request is answered 503.",
    ),
    Setting(
        "VERSIONS_KEPT",
        "5",
        integer(1, 1000),
        "1 to 1000",
        "How many versions of the project are kept in .denzel/versions, for `denzel rollback`; "
        "the one that serves and the last one that worked before it are kept in any case.",
    ),
    Setting(
        "LOG_LEVEL",
        "info",
        choice("debug", "info", "warning", "error"),
        "debug, info, warning or error",
        "Least severe message that is logged.",
    ),
    Setting(
        "LOG_FORMAT",
        "text",
        choice("text", "json"),
        "text or json",
        "json: each line of a service's log is a JSON object, what your pipeline prints included.",
    ),
    Setting(
        "METRICS_KEY",
        "",
        bearer_key,
        "16 or more printable ASCII characters without blanks, or empty",
        "Key for GET /metrics, sent as `Authorization: Bearer KEY`. Empty: there is no such "
        "endpoint, and the API counts nothing.",
        secret=True,
    ),
    Setting(
        "WITH_METRICS",
        "0",
        flag,
        "0 or 1",
        "1: Prometheus and Grafana run, too, in Docker alone; `denzel launch --with-metrics` sets "
        "it, and METRICS_KEY.",
    ),
    Setting(
        "GRAFANA_PORT",
        "3000",
        PORT,
        "a port, 1 to 65535",
        "Port of Grafana on this machine; no other machine reaches it.",
    ),
    Setting(
        "BASE_IMAGE",
        "python:3.13-slim",
        any_text,
        "an image",
        "Image the project's own image is built from; name a mirror's here.",
    ),
    Setting("REDIS_IMAGE", "redis:8", any_text, "an image", "Image of the Redis service."),
    Setting(
        "CADDY_IMAGE",
        "caddy:2",
        any_text,
        "an image",
        "Image of the service https, which there is with HTTPS_DOMAIN.",
    ),
    Setting(
        "PROMETHEUS_IMAGE",
        "prom/prometheus:v3.5.0",
        any_text,
        "an image",
        "Image of Prometheus, for WITH_METRICS.",
    ),
    Setting(
        "GRAFANA_IMAGE",
        "grafana/grafana:12.2.0",
        any_text,
        "an image",
        "Image of Grafana, for WITH_METRICS.",
    ),
    Setting(
        "IMAGE",
        "denzel-project:1.0.0",
        any_text,
        "an image name with a tag",
        "Name given to the image built for this project.",
    ),
    Setting(
        "RELEASE_IMAGE",
        "",
        any_text,
        "an image name with a tag, or empty",
        "Name `denzel build` gives to the image with everything in it, and plain Compose runs with "
        "docker-compose.image.yml. Empty: the project's name and what git calls its revision.",
    ),
)


INTERNAL: tuple[Setting, ...] = (
    Setting(
        "OWN_REDIS_URL",
        "redis://127.0.0.1:6379/0",
        redis_url,
        FORMS,
        "Where the Redis is that denzel runs; set by the backend.",
    ),
    Setting(
        "API_PUBLISHED",
        "",
        any_text,
        "an address, or empty",
        "Address the API's container is published on, empty for all; set by the Compose file.",
    ),
    Setting(
        "MONITOR_PUBLISHED",
        "",
        any_text,
        "an address, or empty",
        "Address the monitor's container is published on; set by the Compose file.",
    ),
    Setting(
        "PUBLISHED_PORTS",
        "",
        ports,
        "ports, separated by commas, or empty",
        "Ports the containers of API and monitor are published on; set by the Compose file.",
    ),
    Setting(
        "DENZEL_RUN_DIR",
        ".denzel/run",
        any_text,
        "a directory",
        "Where services write their state; set by the backend.",
    ),
    Setting(
        "DENZEL_LOGS",
        "logs",
        any_text,
        "a directory",
        "Where services write their log files; set by the backend.",
    ),
    Setting(
        "DENZEL_REPLICA",
        "1",
        integer(1, MOST_REPLICAS),
        "a whole number",
        "Which of a service's local processes this is; set by the backend.",
    ),
    Setting(
        "API_REPLICA_PORT",
        "",
        any_text,
        "a port, or empty",
        "For plain Compose: where each of several APIs is published; set by `denzel scale`.",
    ),
    Setting(
        "API_REPLICA_HOST",
        "",
        any_text,
        "an address, or empty",
        "For plain Compose, as API_REPLICA_PORT.",
    ),
    Setting(
        "API_SHARES_PORT",
        "0",
        flag,
        "0 or 1",
        "1: several local processes listen on API_PORT; set by the backend.",
    ),
    Setting(
        "DENZEL_BACKEND",
        "local",
        choice("local", "docker", "image"),
        "local, docker or image",
        "What runs the services; set by the backend, and in an image that `denzel build` made.",
    ),
)
"""Read like settings, but set by the backend and never written into ``.env``."""

SECRETS = frozenset(setting.name for setting in SETTINGS if setting.secret)
"""The settings that stay out of version control."""

IN_EITHER_FILE = frozenset({"REDIS_URL"})
"""Settings that are secret or not, as their value has it."""
