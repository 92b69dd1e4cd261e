"""What of a project's settings reaches services that run elsewhere."""

from __future__ import annotations

import pytest

from denzel.errors import UsageError
from denzel.export.values import split_environment, worker_stop_seconds
from denzel.project import Project


def test_services_get_their_settings_and_the_users_own_variables(project: Project) -> None:
    project.set_environment(BATCH_MAX_SIZE="8", MODEL_BUCKET="s3://models", API_CPUS="2")
    project.set_environment(PIP_INDEX_URL="https://pip.example")
    settings, _ = split_environment(project)
    assert settings["BATCH_MAX_SIZE"] == "8"
    assert settings["MODEL_BUCKET"] == "s3://models"
    assert settings["PROJECT_NAME"] == "shop_window"
    assert settings["OWN_REDIS_URL"] == "redis://redis:6379/0"
    # What concerns this machine, or the building of images, stays here.
    assert not {"API_CPUS", "PIP_INDEX_URL", "IMAGE", "HTTPS_DOMAIN"} & settings.keys()


def test_what_chooses_among_this_machines_parts_stays_here(project: Project) -> None:
    """A pod has one GPU, whose number is 0; no balancer stands there, whom an API would trust."""
    here = {"CUDA_VISIBLE_DEVICES": "1", "GPU_COUNT": "1", "API_REPLICAS": "2"}
    project.set_environment(**here, API_REPLICA_PORT="0", API_REPLICA_HOST="127.0.0.1")
    project.set_environment(COMPOSE_PROFILES="balancer", DENZEL_RUN_DIR="elsewhere")
    settings, secrets = split_environment(project)
    given = settings.keys() | secrets.keys()
    assert not given & {*here, "API_REPLICA_PORT", "API_REPLICA_HOST", "COMPOSE_PROFILES"}
    assert "DENZEL_RUN_DIR" not in given


def test_no_worker_waits_for_the_name_of_another(project: Project) -> None:
    """How many there are is for the cluster to say, and changes."""
    project.set_environment(WORKER_REPLICAS="3")
    assert split_environment(project)[0]["WORKER_REPLICAS"] == "100"


def test_a_unix_socket_is_refused(project: Project) -> None:
    project.set_environment(REDIS_URL="unix:///run/redis.sock?db=1")
    with pytest.raises(UsageError, match="other machines do not reach"):
        split_environment(project)


def test_inside_names_and_ports_are_always_the_same(project: Project) -> None:
    project.set_environment(API_PORT="80", API_HOST="10.1.2.3", MONITOR_PORT="81")
    settings, _ = split_environment(project)
    assert (settings["API_HOST"], settings["API_PORT"]) == ("0.0.0.0", "8000")
    assert settings["MONITOR_PORT"] == "5555"


def test_the_monitor_is_for_nobody_without_a_password(project: Project) -> None:
    assert split_environment(project)[0]["MONITOR_HOST"] == "127.0.0.1"
    project.set_environment(MONITOR_USER="ada", MONITOR_PASSWORD="secret")
    assert split_environment(project)[0]["MONITOR_HOST"] == "0.0.0.0"


def test_what_is_secret_is_no_setting(project: Project) -> None:
    with project.secrets_file.open("a") as file:
        file.write("BUCKET_TOKEN=hush\n")
    project.forget()
    settings, secrets = split_environment(project)
    assert secrets.keys() == {"BUCKET_TOKEN", "CALLBACK_SECRET", "REDIS_PASSWORD"}
    assert not secrets.keys() & settings.keys()


def test_a_redis_of_ones_own_is_a_secret(project: Project) -> None:
    project.set_environment(REDIS_URL="redis://user:pw@cache.example:6380/0")
    settings, secrets = split_environment(project)
    assert secrets["REDIS_URL"] == "redis://user:pw@cache.example:6380/0"
    assert "REDIS_URL" not in settings


def test_a_value_of_several_lines_is_told(project: Project) -> None:
    project.set_environment(CERTIFICATE="one\ntwo")
    with pytest.raises(UsageError, match="CERTIFICATE has several lines"):
        split_environment(project)


@pytest.mark.parametrize(("timeout", "seconds"), [("30", 90), ("2.5", 63), ("0", 86460)])
def test_a_worker_has_longer_to_end_than_a_prediction_takes(
    project: Project, timeout: str, seconds: int
) -> None:
    project.set_environment(PREDICTION_TIMEOUT=timeout)
    assert worker_stop_seconds(project) == seconds
