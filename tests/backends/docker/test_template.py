"""The Compose file and the Dockerfile every project gets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import denzel
from denzel.project import Project
from denzel.scaffold import start_project
from denzel.services import BALANCER, METRICS_SERVICES, SERVICES
from denzel.templates.project.app.runtime.metrics.table import COUNTED, PREFIX

TEMPLATES = Path(denzel.__file__).parent / "templates"
COMPOSE: dict[str, Any] = yaml.safe_load((TEMPLATES / "project/docker-compose.yml").read_text())
IMAGE_COMPOSE: dict[str, Any] = yaml.safe_load(
    (TEMPLATES / "project/docker-compose.image.yml").read_text()
)
DOCKERFILE = (TEMPLATES / "project/Dockerfile").read_text()


def test_every_service_is_there_and_no_other() -> None:
    assert set(COMPOSE["services"]) == {*SERVICES, "https", BALANCER, *METRICS_SERVICES}
    profiles = {"https": "https", BALANCER: BALANCER, **dict.fromkeys(METRICS_SERVICES, "metrics")}
    for name, service in COMPOSE["services"].items():
        wanted = [profiles[name]] if name in profiles else []
        assert service.get("profiles", []) == wanted


@pytest.mark.parametrize("name", [*SERVICES, "https", BALANCER, *METRICS_SERVICES])
def test_every_service_is_kept_alive_watched_and_its_log_bounded(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["restart"] == "unless-stopped"
    assert service["init"] is True
    assert service["healthcheck"]["test"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"redis"}))
def test_every_service_of_the_project_waits_for_redis_and_shares_its_image(name: str) -> None:
    service = COMPOSE["services"][name]
    condition = {"condition": "service_healthy", "required": False}  # of one that may be elsewhere
    assert service["depends_on"] == {"redis": condition}
    assert service["image"].startswith("${IMAGE:-")
    assert (TEMPLATES / "project" / service["entrypoint"][1]).exists()


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"redis"}))
def test_every_service_of_the_project_may_write_logs_alone(name: str) -> None:
    mounts = COMPOSE["services"][name]["volumes"]
    assert [mount for mount in mounts if mount.startswith(".")] == [
        ".:/srv/denzel:ro",
        "./logs:/srv/denzel/logs",
        # Below a directory that root alone can enter.
        ".:/opt/denzel/root/project",
    ]
    assert "install -d -m 0700 /opt/denzel/root" in DOCKERFILE


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"redis"}))
def test_what_hangs_is_unhealthy_within_half_a_minute(name: str) -> None:
    check = COMPOSE["services"][name]["healthcheck"]
    assert check["test"][-2:] == ["app.runtime.health", name]
    assert 15 + int(check["interval"].removesuffix("s")) * check["retries"] <= 30


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"redis"}))
def test_entrypoints_bear_the_line_ends_of_windows(name: str, tmp_path: Path) -> None:
    script = TEMPLATES / f"project/entrypoints/{name}.sh"
    (tmp_path / "entrypoints").mkdir()
    copy = tmp_path / "entrypoints" / script.name
    copy.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    done = subprocess.run(
        ["bash", str(copy)], env={"DENZEL_PYTHON": "/bin/echo", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("-P app/runtime/start.py app.runtime.bootstrap ")
    assert "\r" not in done.stdout
    assert name in done.stdout.split()


def test_the_services_know_the_ports_they_are_published_on() -> None:
    """Callbacks may not go there."""
    published = {
        name: ",".join(port["published"] for port in service["ports"])
        for name, service in COMPOSE["services"].items()
        if "ports" in service
    }
    assert set(published) == {"api", BALANCER, "monitor", "grafana", "https"}
    assert published["api"] == f"${{API_REPLICA_PORT:-{published[BALANCER]}}}"
    https = f"${{HTTPS_DOMAIN:+,{published['https']}}}"
    expected = f"{published[BALANCER]},{published['monitor']},{published['grafana']}{https}"
    for name in set(SERVICES) - {"redis"}:
        assert COMPOSE["services"][name]["environment"]["PUBLISHED_PORTS"] == expected


def test_the_image_is_built_by_one_service_alone() -> None:
    assert [name for name, service in COMPOSE["services"].items() if "build" in service] == ["api"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"redis"}))
def test_a_service_from_an_image_is_the_same_but_for_where_its_files_are(name: str) -> None:
    usual, from_image = COMPOSE["services"][name], IMAGE_COMPOSE["services"][name]
    own = {"image", "volumes", "tmpfs", "read_only", "cap_drop", "build"}
    assert {key: value for key, value in usual.items() if key not in own} == {
        key: value for key, value in from_image.items() if key not in own
    }
    assert from_image["read_only"] is True
    assert from_image["cap_drop"] == ["ALL"]
    assert from_image["volumes"] == ["./.denzel/secrets:/run/secrets:ro"]
    assert from_image["image"].startswith("${RELEASE_IMAGE:?")


def test_the_other_services_are_the_same_with_an_image() -> None:
    for name in {"redis", "https", BALANCER, *METRICS_SERVICES}:
        extended = IMAGE_COMPOSE["services"][name]["extends"]
        assert extended == {"file": "docker-compose.yml", "service": name}
    assert set(IMAGE_COMPOSE["services"]) == set(COMPOSE["services"])
    assert set(IMAGE_COMPOSE["volumes"]) == set(COMPOSE["volumes"]) - {"venv", "pip-cache"}


def test_what_is_secret_or_of_a_deployment_is_left_out_of_images() -> None:
    """A test of the image itself tries what is not left out (tests/e2e/test_release.py)."""
    ignored = (TEMPLATES / "project/.dockerignore").read_text().splitlines()
    assert {".env", ".env.*", ".git", ".denzel", "logs"} <= set(ignored)


def test_the_last_stage_is_the_one_of_launch() -> None:
    stages = re.findall(r"^FROM (.*)$", DOCKERFILE, re.MULTILINE)
    assert stages[-1] == "services"
    assert "base AS release" in stages


def configured_services(project: Project, **environment: str) -> set[str]:
    """Return the services that plain Compose would start."""
    asked = subprocess.run(
        ["docker", "compose", "config", "--services"], cwd=project.root, text=True,
        env={"PATH": os.environ["PATH"], **environment}, capture_output=True, check=True,
    )  # fmt: skip
    return set(asked.stdout.split())


@pytest.mark.docker
def test_redis_is_started_unless_another_is_named(project: Project) -> None:
    assert configured_services(project) == set(SERVICES)
    project.set_environment(REDIS_URL="rediss://denzel@redis.example/3")
    assert configured_services(project) == set(SERVICES) - {"redis"}
    assert configured_services(project, COMPOSE_PROFILES="https") == {*SERVICES, "https"} - {
        "redis"
    }
    project.set_environment(REDIS_URL="")
    # As denzel says it where the URL stands in .env.secrets.
    assert configured_services(project, DENZEL_REDIS="-elsewhere") == set(SERVICES) - {"redis"}


def test_redis_is_durable_and_not_published() -> None:
    redis = COMPOSE["services"]["redis"]
    assert "ports" not in redis
    written = (TEMPLATES / "project/entrypoints/redis.sh").read_text().splitlines()
    assert {
        "appendonly yes",
        "appendfsync $REDIS_FSYNC",
        "maxmemory-policy noeviction",
        "maxmemory $REDIS_MAX_MEMORY",
    } <= {line.strip() for line in written}
    assert "redis-data:/data" in redis["volumes"]
    assert "redis-data" in COMPOSE["volumes"]


def test_the_api_is_published_everywhere_and_the_monitor_on_this_machine() -> None:
    host = "${API_HOST:-${HTTPS_DOMAIN:+127.0.0.1}}"
    assert COMPOSE["services"]["api"]["ports"][0]["host_ip"] == f"${{API_REPLICA_HOST:-{host}}}"
    assert COMPOSE["services"][BALANCER]["ports"][0]["host_ip"] == host
    assert COMPOSE["services"]["api"]["environment"]["API_PUBLISHED"] == host
    assert COMPOSE["services"]["monitor"]["ports"][0]["host_ip"] == "${MONITOR_HOST:-127.0.0.1}"


def test_the_monitor_leaves_the_processors_to_those_that_answer() -> None:
    services = COMPOSE["services"]
    shares = {name: service.get("cpu_shares", 1024) for name, service in services.items()}
    assert shares.pop("monitor") < min(shares.values())


def test_pips_settings_reach_the_build_from_a_file_of_windows(tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes(
        b"PIP_INDEX_URL='http://mirror/simple'\r\nAPI_PORT=8000\r\nPIP_RETRIES=7\r\n"
    )
    command = DOCKERFILE[DOCKERFILE.index("grep '^PIP_'") : DOCKERFILE.index("    && mv ")]
    install = "pip install --requirement /opt/denzel/requirements.txt"
    assert install in command
    command = command.replace("/run/secrets/env", str(tmp_path / "env")).replace(install, "env")
    printed = subprocess.run(
        ["sh", "-c", command.rstrip().removesuffix("\\")], env={"PATH": "/usr/bin:/bin"},
        capture_output=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert [line for line in printed if line.startswith(b"PIP")] == [
        b"PIP_INDEX_URL=http://mirror/simple",
        b"PIP_RETRIES=7",
    ]


@pytest.mark.parametrize(("memory", "cpus"), [("", ""), ("512mb", "1.5")])
def test_limits_are_settings(tmp_path: Path, memory: str, cpus: str) -> None:
    if not shutil.which("docker"):
        pytest.skip("docker is not installed")
    project = start_project(tmp_path, "shop")
    limits = {"API_MEMORY": memory, "API_CPUS": cpus, "WORKER_MEMORY": memory, "WORKER_CPUS": cpus}
    project.set_environment(**limits)
    assert project.settings.worker_cpus == (float(cpus) if cpus else None)
    done = subprocess.run(
        ["docker", "compose", "config"],
        cwd=project.root,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("api", "denzel"):
        service = yaml.safe_load(done.stdout)["services"][name]
        found = (service.get("mem_limit", "0"), service.get("cpus", 0))
        assert found == ((str(512 * 2**20), 1.5) if memory else ("0", 0))


def test_no_image_is_called_latest() -> None:
    for text in (DOCKERFILE, yaml.dump(COMPOSE)):
        assert "latest" not in text
    assert re.search(r"^ARG BASE_IMAGE=\S+:\S+$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("iris_classifier", "iris_classifier:1.0.0"),
        ("a-b", "a-b:1.0.0"),
        ("a_-b__c_", "a-b-c:1.0.0"),
    ],
)
def test_every_projects_image_has_a_name_docker_takes(
    tmp_path: Path, name: str, image: str
) -> None:
    assert start_project(tmp_path, name).settings.image == image


def test_no_frontend_has_to_be_pulled_to_build() -> None:
    assert "syntax=" not in DOCKERFILE


@pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])
@pytest.mark.parametrize("program", [["docker", "compose"], ["docker-compose"]], ids=" ".join)
def test_compose_finds_nothing_to_warn_of(tmp_path: Path, program: list[str], gpu: bool) -> None:
    if not shutil.which(program[0]):
        pytest.skip(f"{program[0]} is not installed")
    project: Project = start_project(tmp_path, "shop_window", gpu=gpu)
    done = subprocess.run(
        [*program, "config"], cwd=project.root, capture_output=True, text=True, timeout=60
    )
    if "is not a docker command" in done.stderr or "unknown command" in done.stderr:
        pytest.skip("docker has no compose plugin")
    assert (done.returncode, done.stderr) == (0, "")
    resolved = yaml.safe_load(done.stdout)
    assert resolved["name"] == "shop_window"
    devices = resolved["services"]["denzel"].get("deploy", {}).get("resources")
    assert bool(devices) is gpu
    if gpu:
        (device,) = devices["reservations"]["devices"]
        assert device["driver"] == "nvidia"
        assert device["capabilities"] == ["gpu"]
        assert device["count"] == -1  # all
        project.set_environment(GPU_COUNT="2")
        done = subprocess.run(
            [*program, "config"], cwd=project.root, capture_output=True, text=True, timeout=60
        )
        resolved = yaml.safe_load(done.stdout)["services"]["denzel"]
        assert resolved["deploy"]["resources"]["reservations"]["devices"][0]["count"] == 2


GRAFANA = TEMPLATES / "project/app/runtime/metrics/grafana"


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((GRAFANA / "dashboards/denzel.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for each in targets for name in re.findall(r"denzel_\w+", each["expr"])}
    source = (GRAFANA.parent / "exposition.py").read_text()
    gauges = re.findall(r'PREFIX \+ "(\w+)"', source) + re.findall(
        r'^    \("(\w+)", "', source, re.M
    )
    known = {PREFIX + name for name in gauges}
    for metric in COUNTED:
        parts = ("_bucket", "_sum", "_count") if metric.buckets else ("",)
        known |= {PREFIX + metric.name + part for part in parts}
    assert len(asked) > 10
    assert asked <= known


def test_grafana_finds_the_dashboard_and_prometheus() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/denzel.yml").read_text())[
        "providers"
    ]
    mounted = COMPOSE["services"]["grafana"]["volumes"][0].split(":")
    assert (GRAFANA.parents[3] / mounted[0]).resolve() == GRAFANA.resolve()
    assert provider["options"]["path"] == f"{mounted[1]}/dashboards"
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    dashboard = json.loads((GRAFANA / "dashboards/denzel.json").read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
