"""Every Compose command denzel runs, as a list."""

from __future__ import annotations

from denzel.backends.docker.commands import ComposeCommands

COMPOSE = ["docker", "compose", "--ansi", "never", "--project-name", "shop"]
EVERYTHING = [*COMPOSE, "--profile", "*"]
COMMANDS = ComposeCommands(("docker", "compose"), "shop")
START = ["-P", "app/runtime/start.py"]
PREPARE = [*START, "app.runtime.bootstrap"]
WITH_SECRETS = ["/opt/denzel/python", *START, "app.runtime.bootstrap.secrets"]


def test_build() -> None:
    assert COMMANDS.build() == [*COMPOSE, "build", "api"]


def test_pull() -> None:
    assert COMMANDS.pull("redis") == [*COMPOSE, "pull", "redis"]


def test_up_never_builds() -> None:
    assert COMMANDS.up() == [*COMPOSE, "up", "--detach", "--no-build"]


def test_stop() -> None:
    assert COMMANDS.stop() == [*EVERYTHING, "stop"]


def test_down_keeps_volumes_and_images() -> None:
    assert COMMANDS.down(purge=False) == [*EVERYTHING, "down", "--remove-orphans"]


def test_a_purge_removes_volumes() -> None:
    assert COMMANDS.down(purge=True) == [*EVERYTHING, "down", "--remove-orphans", "--volumes"]


def test_logs() -> None:
    assert COMMANDS.logs(["api", "redis"], follow=False, tail=None) == [
        *COMPOSE, "logs", "--no-color", "--timestamps", "api", "redis"
    ]  # fmt: skip


def test_followed_logs() -> None:
    assert COMMANDS.logs([], follow=True, tail=0) == [
        *COMPOSE, "logs", "--no-color", "--timestamps", "--follow", "--tail", "0"
    ]  # fmt: skip


def test_a_shell_on_a_terminal() -> None:
    assert COMMANDS.shell("denzel", user="denzel", terminal=True) == [
        *COMPOSE, "exec", "--user", "denzel", "denzel",
        "/opt/denzel/python", *PREPARE, "--version", "0", "--run", "bash",
    ]  # fmt: skip


def test_a_shell_without_a_terminal() -> None:
    assert COMMANDS.shell("redis", user=None, terminal=False) == [
        *COMPOSE, "exec", "-T", "redis", "bash"
    ]  # fmt: skip


def test_a_module_runs_as_the_user_who_serves() -> None:
    assert COMMANDS.module("api", "app.runtime.admin", "response", "--async") == [
        *COMPOSE, "exec", "-T", "--user", "denzel", "api",
        "/opt/denzel/python", *PREPARE, "--run", "python",
        *START, "app.runtime.admin", "response", "--async",
    ]  # fmt: skip


def test_requirements_are_installed_as_root() -> None:
    executed = [*COMPOSE, "exec", "-T", "--user", "root", "api", "/opt/denzel/python"]
    assert COMMANDS.install("api", 3, pip=True, os=False) == [
        *executed, *PREPARE, "--version", "3", "--install", "pip", "api"
    ]  # fmt: skip
    assert COMMANDS.install("api", 3, pip=False, os=True) == [
        *executed, *PREPARE, "--version", "3", "--install", "os", "api"
    ]  # fmt: skip
    assert COMMANDS.install("api", 3, pip=True, os=True) == [
        *executed, *PREPARE, "--version", "3", "--install", "os", "--install", "pip", "api"
    ]  # fmt: skip
    assert COMMANDS.install_changed("api", 3) == [
        *executed, *PREPARE, "--install", "check", "--os-commands", "--version", "3", "api"
    ]  # fmt: skip


def test_a_service_is_switched_to_a_version() -> None:
    executed = [*COMPOSE, "exec", "-T", "--user", "root", "api", "/opt/denzel/python"]
    assert COMMANDS.switch("api", 4, stop_first=False) == [
        *executed, *PREPARE, "--version", "4", "--switch", "api"
    ]  # fmt: skip
    assert COMMANDS.switch("api", 4, stop_first=True) == [
        *executed, *PREPARE, "--version", "4", "--switch", "--stop-first", "api"
    ]  # fmt: skip


def test_requirements_are_tried_in_a_container_of_their_own() -> None:
    assert COMMANDS.try_requirements("shop-try-7", "denzel", 4) == [
        *COMPOSE, "run", "--rm", "--name", "shop-try-7", "--no-deps", "-T", "--quiet-pull",
        "--entrypoint", "/opt/denzel/python", "denzel",
        *PREPARE, "--install", "check", "--os-commands", "--version", "4", "denzel",
    ]  # fmt: skip


def test_a_prepared_module_runs_in_a_container_of_its_own() -> None:
    check = ("app.runtime.pipeline.check", "--repeat", "3")
    assert COMMANDS.prepared_module("shop-check-7", "denzel", *check) == [
        *COMPOSE, "run", "--rm", "--name", "shop-check-7", "--no-deps", "-T", "--quiet-pull",
        "--entrypoint", "/opt/denzel/python", "denzel",
        *PREPARE, "--os-commands", "--once", "--version", "0", "denzel",
        "python", *START, *check,
    ]  # fmt: skip


def test_the_standalone_program_takes_the_same_arguments() -> None:
    standalone = ComposeCommands(("docker-compose",), "shop")
    assert standalone.stop() == ["docker-compose", *EVERYTHING[2:], "stop"]
