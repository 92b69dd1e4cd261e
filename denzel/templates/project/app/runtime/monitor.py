"""Start the monitoring page: Flower, with the settings of this deployment."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Any

import flower.app
import flower.command
import flower.views
from celery.bin.celery import celery
from celery.bin.celery import main as celery_main
from celery.events import EventReceiver
from flower.app import Flower
from flower.events import Events
from flower.utils.broker import RedisBase
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.options import options
from tornado.web import RequestHandler

from app.runtime import state
from app.runtime.hosts import is_known_host, is_loopback, is_same_origin, without_prefix
from app.runtime.logs import Outage, configure_logging
from app.runtime.proxies import TrustedProxies
from app.runtime.settings import Settings, load_settings
from app.runtime.store.client import connect_async

BROKER_SECONDS = 2.0
RECONNECT_SECONDS = 2.0
NICENESS = 10
"""The monitor leaves processors to those that answer; what is left to it suffices to keep up."""

log = logging.getLogger("denzel.monitor")


def main() -> int:
    """Run Flower until it is told to stop."""
    settings = load_settings()
    if settings.exposure:
        return refuse(settings.exposure)
    configure_logging(settings, "monitor")
    os.nice(NICENESS)
    # Not as arguments or variables: those other programs of this machine may be shown.
    if settings.monitor_user:
        options.basic_auth = [f"{settings.monitor_user}:{settings.monitor_password}"]
    options.logging = settings.log_level
    options.read_only = not settings.monitor_control
    arguments = [
        # Tornado takes :: for IPv6 alone, and nothing for every address of both families.
        f"--address={'' if settings.monitor_host == '::' else settings.monitor_host}",
        f"--port={settings.monitor_port}",
        "--max_tasks=10000",  # of the tasks it has seen, those it keeps in memory
    ]
    if settings.monitor_prefix:
        arguments.append(f"--url_prefix={settings.monitor_prefix}")
    proxies = TrustedProxies(settings.trusted_proxies)
    flower.app.Events = SteadyEvents
    flower.command.Flower = guarded(settings, proxies)
    flower.views.Broker = broker_class(settings)
    celery.add_command(flower.command.flower)
    # Runs when the loop starts, which is after the port was bound.
    IOLoop.current().add_callback(proxies.start)
    IOLoop.current().add_callback(state.write_state, "monitor", state.UP)
    os.environ.setdefault("FLOWER_PURGE_OFFLINE_WORKERS", "60")
    sys.argv = ["celery", "--quiet", "-A", "app.tasks", "flower", *arguments]
    return int(celery_main() or 0)


class SteadyEvents(Events):  # Flower has no types
    """What Flower hears of the workers: soon again once Redis is back, however long it was away.

    Flower would double its pauses, up to as long as Redis was away.
    """

    def run(self) -> None:
        """Hear events for as long as the process lives."""
        outage = Outage(log, "Redis")
        while True:
            try:
                with self.capp.connection() as connection:
                    handlers = {"*": self.on_event}
                    receiver = EventReceiver(connection, handlers=handlers, app=self.capp)
                    outage.ended()
                    receiver.capture(limit=None, timeout=None, wakeup=True)
            except (RedisError, OperationalError, OSError) as error:
                outage.failed(error)
            except Exception:  # whatever it was, without events the page is no use
                log.exception("Events could not be heard; they are heard again")
            time.sleep(RECONNECT_SECONDS)


def broker_class(settings: Settings) -> type[RedisBase]:
    """Return what shows the lengths of the queues, over a connection as all services have it."""

    class Broker(RedisBase):
        """The Redis of this deployment."""

        def __init__(self, broker_url: str, **options: Any) -> None:
            super().__init__(broker_url, **options)
            self.redis = connect_async(settings.redis, answer_seconds=BROKER_SECONDS)

    return Broker


class RefusedHandler(RequestHandler):
    """Answers a request that a stranger's web page may have sent."""

    def initialize(self, reason: str) -> None:
        """Take the reason to be shown."""
        self._why = reason

    def check_xsrf_cookie(self) -> None:
        """Let everything come here."""

    def prepare(self) -> None:
        """Answer it, whatever the method."""
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{self._why}\n")


def guarded(settings: Settings, proxies: TrustedProxies) -> type[Flower]:
    """Return a Flower that refuses what a stranger's web page asks; see hosts.py."""
    checks_host = is_loopback(settings.monitor_address)
    prefix = settings.monitor_prefix

    class GuardedFlower(Flower):
        """Flower, with a look at each request's Host and Origin."""

        def find_handler(self, request: HTTPServerRequest, **rest: Any) -> Any:
            """Return what answers a request."""
            sent_host = request.host
            apply_forwarded(request, proxies)
            # Both: a page can send X-Forwarded-Host, from where a proxy is trusted, too.
            hosts = sent_host, request.host
            if checks_host and not all(is_known_host(h, settings.allowed_hosts) for h in hosts):
                reason = (
                    "The monitoring page is bound to this machine alone and does not answer "
                    "under this name; ALLOWED_HOSTS in .env can add it"
                )
            elif is_cross_site(request):
                reason = "Pages of other origins may not change anything here"
            else:
                # Flower answers under the prefix alone; a proxy may have cut it off.
                request.path = prefix + without_prefix(request.path, prefix)
                return super().find_handler(request, **rest)
            return self.get_handler_delegate(request, RefusedHandler, {"reason": reason})

    return GuardedFlower


def apply_forwarded(request: HTTPServerRequest, proxies: TrustedProxies) -> None:
    """Set client, scheme and host of a request to what a trusted proxy says."""
    forwarded = proxies.read(request.remote_ip or "", request.headers.get_list)
    if forwarded is None:
        return
    request.remote_ip = forwarded.client or request.remote_ip
    request.protocol = forwarded.scheme or request.protocol
    request.host = forwarded.host or request.host


def is_cross_site(request: HTTPServerRequest) -> bool:
    """Tell whether a request that may change something comes from a page of another origin."""
    origin = request.headers.get("Origin")
    if origin is None or request.method in ("GET", "HEAD", "OPTIONS"):
        return False
    return not is_same_origin(origin, request.host)


def refuse(reason: str) -> int:
    """Show ERROR until the service is stopped: a new try would end no better."""
    print(reason, file=sys.stderr, flush=True)
    state.stay_in_error("monitor", reason)
    return 1


if __name__ == "__main__":
    sys.exit(main())
