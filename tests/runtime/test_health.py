"""UP means that a service works: what is stopped, hangs or has lost Redis is told apart."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.runtime import health, state
from app.runtime.settings import Settings, parse_redis_url, parse_settings

from .deployment import Deployment, deployed
from .polling import wait_until
from .service import Service

PIPELINE = """
import time


def verify_input(json_data):
    return json_data


def load_model():
    return None


def process(model, json_data):
    return json_data


def predict(model, data):
    time.sleep(data["seconds"])
    return {"slept": data["seconds"]}
"""
DETECTION_SECONDS = health.BEAT_SECONDS + 25
NOT_UP = "is not UP"


@pytest.fixture
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory that states are written to."""
    monkeypatch.setenv("DENZEL_RUN_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def settings(run_directory: Path) -> Settings:
    """Return the settings of a deployment of which nothing answers."""
    values = {"DENZEL_RUN_DIR": str(run_directory), "REDIS_URL": "unix:///nowhere/redis.sock"}
    return parse_settings(values)


def backdate(path: Path, seconds: float) -> None:
    path.write_text(f"{time.monotonic() - seconds:020.3f}\n", encoding="ascii")


# One service at a time


@pytest.mark.parametrize("recorded", [state.STARTING, state.PIP_INSTALLING, state.ERROR])
def test_a_service_that_is_not_up_is_as_it_says(settings: Settings, recorded: str) -> None:
    state.write_state("api", recorded, "why")
    assert health.examine(settings)["api"] == (recorded, "why")


@pytest.mark.parametrize("service", ["api", "denzel", "callbacks"])
def test_without_redis_no_service_that_needs_it_is_up(settings: Settings, service: str) -> None:
    state.write_state(service, state.UP)
    found = health.examine(settings)
    assert found[service] == (state.ERROR, "Redis does not answer")
    assert found["redis"][0] == state.DOWN
    assert found["redis"][1].startswith("/nowhere/redis.sock cannot be reached: ")


def test_a_heartbeat_keeps_a_service_up_until_it_stays_away(
    settings: Settings, run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "redis_state", lambda _address: (state.UP, ""))
    state.write_state("callbacks", state.UP)
    state.beat("callbacks")
    assert health.examine(settings)["callbacks"] == (state.UP, "")
    backdate(run_directory / "callbacks.beat", health.BEAT_SECONDS - 2)
    assert health.examine(settings)["callbacks"] == (state.UP, "")
    backdate(run_directory / "callbacks.beat", health.BEAT_SECONDS + 2)
    shown, detail = health.examine(settings)["callbacks"]
    assert shown == state.ERROR
    assert "no heartbeat for 17 s" in detail


@pytest.mark.parametrize(
    ("redis", "age", "fails"),
    [(state.UP, 2, False), (state.UP, 17, True), (state.DOWN, 17, False)],
    ids=["beats", "hangs", "without Redis"],
)
def test_a_liveness_probe_fails_where_a_new_start_helps(
    settings: Settings, run_directory: Path, monkeypatch: pytest.MonkeyPatch,
    redis: str, age: float, fails: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(health, "redis_state", lambda _address: (redis, ""))
    monkeypatch.setattr(health, "load_settings", lambda: settings)
    state.write_state("worker", state.LOADING)
    assert health.main(["--live", "denzel"]) == 0
    state.write_state("worker", state.UP)
    backdate(run_directory / "worker.beat", age)
    assert health.main(["--live", "denzel"]) == int(fails)


@pytest.mark.parametrize(
    ("redis", "age", "fails"),
    [(state.UP, 2, False), (state.UP, 17, True), (state.DOWN, 17, False)],
    ids=["beats", "hangs", "without Redis"],
)
@pytest.mark.parametrize("service", ["denzel", "callbacks"])
def test_a_swarm_ends_nothing_for_want_of_redis(
    settings: Settings, run_directory: Path, monkeypatch: pytest.MonkeyPatch,
    service: str, redis: str, age: float, fails: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(health, "redis_state", lambda _address: (redis, ""))
    monkeypatch.setattr(health, "load_settings", lambda: settings)
    state.write_state("denzel", state.UP)
    recorded = health.BEATS[service]
    state.write_state(recorded, state.LOADING)
    assert health.main(["--without-redis", service]) == 1
    state.write_state(recorded, state.UP)
    backdate(run_directory / f"{recorded}.beat", age)
    assert health.main(["--without-redis", service]) == int(fails)


def test_an_api_without_redis_is_well_for_a_swarm_while_it_answers(
    settings: Settings, http_port: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = dataclasses.replace(settings, api_host="127.0.0.1", api_port=http_port(200))
    monkeypatch.setattr(health, "load_settings", lambda: there)
    state.write_state("api", state.UP)
    assert health.main(["api"]) == 1
    assert health.main(["--without-redis", "api"]) == 0
    dead = dataclasses.replace(there, api_port=http_port(503))
    monkeypatch.setattr(health, "load_settings", lambda: dead)
    assert health.main(["--without-redis", "api"]) == 1


def test_up_is_the_first_heartbeat(settings: Settings, run_directory: Path) -> None:
    """Else what hangs right after it would be up for good."""
    state.write_state("callbacks", state.UP)
    age = state.seconds_since_beat(run_directory / "callbacks.beat")
    assert age is not None
    assert age < health.BEAT_SECONDS


def test_a_heartbeat_from_before_the_machines_start_is_none(
    settings: Settings, run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "redis_state", lambda _address: (state.UP, ""))
    state.write_state("callbacks", state.UP)
    backdate(run_directory / "callbacks.beat", -3600)
    shown, detail = health.examine(settings)["callbacks"]
    assert (shown, "inf" in detail) == (state.ERROR, False)


def test_a_service_that_starts_again_has_no_old_heartbeat(run_directory: Path) -> None:
    state.beat("callbacks")
    state.write_state("callbacks", state.STARTING)
    assert not (run_directory / "callbacks.beat").exists()


def test_a_heartbeat_follows_no_link_and_never_raises(run_directory: Path) -> None:
    other = run_directory / "other"
    other.write_text("precious", encoding="utf-8")
    (run_directory / "callbacks.beat").symlink_to(other)
    state.beat("callbacks")
    assert other.read_text(encoding="utf-8") == "precious"


def test_a_state_follows_no_link(run_directory: Path) -> None:
    other = run_directory / "other"
    other.write_text("precious", encoding="utf-8")
    (run_directory / f".api.{os.getpid()}").symlink_to(other)
    (run_directory / "api.json").symlink_to(other)
    state.write_state("api", state.UP)
    assert other.read_text(encoding="utf-8") == "precious"
    assert state.read_state(run_directory / "api.json") == (state.UP, "")


@pytest.fixture
def http_port() -> Iterator[Callable[[int], int]]:
    """Return a function that starts a server which answers one status; it returns the port."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Write nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "works"), [(200, True), (401, True), (404, True), (503, False)])
def test_any_answer_but_a_servers_error_will_do(
    settings: Settings, http_port: Callable[[int], int], status: int, works: bool
) -> None:
    state.write_state("monitor", state.UP)
    port = http_port(status)
    there = dataclasses.replace(settings, monitor_host="0.0.0.0", monitor_port=port)
    assert (health.examine(there)["monitor"][0] == state.UP) is works


def test_a_port_where_nobody_speaks_does_not_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "HTTP_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert health.http_problem("", port, "/info") == f"does not answer on port {port}"


@pytest.mark.parametrize(
    ("answer", "expected", "problem"),
    [
        (b"+PONG\r\n", state.UP, ""),
        (b"-LOADING Redis is loading\r\n", state.ERROR, "Redis answers LOADING Redis is loading"),
        (b"", state.DOWN, "cannot be reached: Redis closed the connection"),
    ],
)
def test_redis_serves_or_says_why_not(answer: bytes, expected: str, problem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        shown, detail = health.redis_state(parse_redis_url(url))
    assert shown == expected
    assert problem in detail
    assert bool(detail) is bool(problem)


# A whole deployment


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a running deployment, Redis with a password."""
    settings = {"REDIS_PASSWORD": "open & sesame"}
    with deployed(tmp_path_factory.mktemp("whole"), PIPELINE, settings) as deployment:
        deployment.start_redis("--requirepass", "open & sesame")
        deployment.start_worker(wait=False)
        deployment.start_monitor(wait=False)
        deployment.start_api()
        deployment.start_callbacks()
        deployment.wait_for_worker()
        yield deployment


def problem(deployment: Deployment, service: str) -> str:
    """Return what the containers' health check says of a service; empty when it is well."""
    checked = deployment.run("-S", "-m", "app.runtime.health", service)
    assert not checked.stderr, checked.stderr
    assert bool(checked.returncode) is bool(checked.stdout)
    return checked.stdout


def wait_for(deployment: Deployment, service: str, words: str) -> None:
    """Wait until the health check of a service says this; well, when ``words`` are empty."""
    wait_until(
        lambda: (found := problem(deployment, service)) == words or (words and words in found),
        DETECTION_SECONDS,
        what=f"{service}: {words or 'well'}",
        evidence=lambda: problem(deployment, service),
    )


@pytest.fixture
def well(whole: Deployment) -> Iterator[Deployment]:
    """Yield a deployment of which everything works, and see that it does so again afterwards."""
    for service in ("api", "denzel", "monitor", "callbacks"):
        wait_for(whole, service, "")
    yield whole
    for service in ("api", "denzel", "monitor", "callbacks"):
        wait_for(whole, service, "")


@pytest.fixture
def stopped() -> Iterator[Callable[[Service], None]]:
    """Return a function that stops a service's main process; it goes on after the test."""
    pids: list[int] = []

    def stop(service: Service) -> None:
        os.kill(service.pid, signal.SIGSTOP)
        pids.append(service.pid)

    yield stop
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_while_redis_hangs_no_service_that_needs_it_is_well(
    well: Deployment, stopped: Callable[[Service], None]
) -> None:
    stopped(well.services["redis"])
    for service in ("api", "denzel", "callbacks"):
        assert problem(well, service) == f"{service} is ERROR Redis does not answer\n"
    assert problem(well, "monitor") == ""


def test_while_redis_is_dead_no_service_that_needs_it_is_well(well: Deployment) -> None:
    well.services["redis"].kill()
    try:
        for service in ("api", "denzel", "callbacks"):
            assert problem(well, service) == f"{service} is ERROR Redis does not answer\n"
    finally:
        well.start_redis("--requirepass", "open & sesame")


@pytest.mark.parametrize("name", ["denzel", "callbacks"])
def test_a_process_that_hangs_gives_no_heartbeat(
    well: Deployment, stopped: Callable[[Service], None], name: str
) -> None:
    stopped(well.services[name])
    wait_for(well, name, "no heartbeat")


def test_an_api_that_hangs_does_not_answer(well: Deployment) -> None:
    well.services["api"].signal(signal.SIGSTOP)
    try:
        wait_for(well, "api", "does not answer on port")
    finally:
        well.services["api"].signal(signal.SIGCONT)


def test_a_worker_in_a_long_prediction_is_well(well: Deployment) -> None:
    task = well.accept({"seconds": health.BEAT_SECONDS + 5})
    begun = time.monotonic()
    while time.monotonic() - begun < health.BEAT_SECONDS + 3:
        assert problem(well, "denzel") == ""
    assert well.final_status(task)["status"] == "SUCCESS"
