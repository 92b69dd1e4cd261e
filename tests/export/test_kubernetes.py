"""The manifests: what the schemas and Kustomize say of them, and what they promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from denzel.errors import UsageError
from denzel.export import namespace_of
from denzel.project import Project
from denzel.scaffold import start_project

from .manifests import IMAGE, Manifest, build, export, one, pods

EVERY = ("gpu", "ingress", "monitor", "hpa-api", "hpa-worker")
SETS: dict[str, tuple[str, ...]] = {
    "as exported": (),
    "with all": EVERY,
    "scaled by the queue": ("hpa-api", "keda"),
    "with a Redis outside": ("external-redis",),
}
OF_KEDA = {"ScaledObject", "TriggerAuthentication"}
PROJECT = "shop-window"


def newest_versions() -> list[str]:
    """Return the three newest versions of Kubernetes there are schemas of."""
    minors = {
        tuple(int(part) for part in version.lstrip("v").split(".")[:2])
        for version in kubernetes_validate.utils.all_versions()
    }
    return [f"{major}.{minor}" for major, minor in sorted(minors)[-3:]]


@pytest.fixture(scope="module", params=list(SETS.values()), ids=list(SETS))
def manifests(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Manifest]:
    """What is applied, with different components."""
    parent = tmp_path_factory.mktemp("project")
    project = start_project(parent, "shop_window")
    return build(export(project, parent / "deploy", *request.param))


@pytest.fixture
def plain(project: Project, tmp_path: Path) -> list[Manifest]:
    """What is applied of a new project."""
    return build(export(project, tmp_path / "deploy"))


def test_the_schemas_of_the_newest_versions_hold(manifests: list[Manifest]) -> None:
    for version in newest_versions():
        for manifest in manifests:
            if manifest["kind"] not in OF_KEDA:
                kubernetes_validate.validate(manifest, version, strict=True)


def test_everything_is_in_the_namespace_and_labelled(manifests: list[Manifest]) -> None:
    assert one(manifests, "Namespace", PROJECT)
    for manifest in manifests:
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == PROJECT
        assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] == PROJECT


def test_names_lead_to_what_is_there(manifests: list[Manifest]) -> None:
    """A Secret's and a ConfigMap's name end in a hash wherever they are named."""
    names = {each["metadata"]["name"] for each in manifests}
    for pod in pods(manifests).values():
        (container,) = pod["containers"]
        for source in container.get("envFrom", []):
            assert source["configMapRef"]["name"] in names
        for volume in pod["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["secretName"] in names
    for each in manifests:
        if each["kind"] == "TriggerAuthentication":
            assert each["spec"]["secretTargetRef"][0]["name"] in names
        if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = one(manifests, "Deployment", each["spec"]["scaleTargetRef"]["name"])
            assert target["metadata"]["name"] == each["spec"]["scaleTargetRef"]["name"]


def test_pods_may_do_nothing_but_serve(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests).items():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == (999 if name == "redis" else 10001)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_images_are_the_ones_asked_for(manifests: list[Manifest]) -> None:
    images = {name: pod["containers"][0]["image"] for name, pod in pods(manifests).items()}
    assert images.pop("redis", "redis:8") == "redis:8"
    assert set(images.values()) == {IMAGE}


def test_network_policies_select_pods_that_are_there(manifests: list[Manifest]) -> None:
    key = "app.kubernetes.io/component"
    components = {
        each["spec"]["template"]["metadata"]["labels"][key]
        for each in manifests
        if each["kind"] in ("Deployment", "StatefulSet")
    }
    policies = [each for each in manifests if each["kind"] == "NetworkPolicy"]
    for policy in policies:
        labels = policy["spec"]["podSelector"].get("matchLabels")
        if labels and policy["metadata"]["name"] != "redis-from-keda":
            assert labels[key] in components
    denied = one(policies, "NetworkPolicy", "default-deny")
    assert denied["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_a_probe_asks_the_service_itself(plain: list[Manifest]) -> None:
    found = pods(plain)
    api = found["api"]["containers"][0]
    assert api["startupProbe"]["httpGet"]["path"] == "/health/ready"
    assert api["readinessProbe"]["httpGet"]["path"] == "/health/live"
    worker = found["worker"]["containers"][0]
    assert worker["readinessProbe"]["exec"]["command"][-2:] == ["app.runtime.health", "denzel"]
    # That of a worker does not fail for want of Redis: the model would be loaded anew.
    assert worker["livenessProbe"]["exec"]["command"][-2:] == ["--live", "denzel"]
    # What hangs is ended soon, not after the six hours a prediction may take.
    assert worker["livenessProbe"]["terminationGracePeriodSeconds"] == 60
    assert found["worker"]["terminationGracePeriodSeconds"] > 3600


def test_settings_make_sizes_and_times(project: Project, tmp_path: Path) -> None:
    project.set_environment(
        API_CPUS="1.5", WORKER_MEMORY="4gb", PREDICTION_TIMEOUT="120", REDIS_MAX_MEMORY="8gb",
        CALLBACK_TIMEOUT="90", MODEL_LOAD_TIMEOUT="600",
    )  # fmt: skip
    manifests = build(export(project, tmp_path / "deploy"))
    found = pods(manifests)
    assert found["api"]["containers"][0]["resources"]["limits"] == {"cpu": "1.5"}
    worker = found["worker"]
    assert worker["terminationGracePeriodSeconds"] == 180
    assert worker["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "4096Mi"}
    assert found["callbacks"]["terminationGracePeriodSeconds"] == 100
    assert one(manifests, "Deployment", "worker")["spec"]["progressDeadlineSeconds"] == 1200
    redis = one(manifests, "StatefulSet", "redis")["spec"]
    (claim,) = redis["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "32Gi"
    assert found["redis"]["containers"][0]["resources"]["limits"]["memory"] == "12352Mi"


def test_a_change_of_a_secret_rolls_the_deployments(project: Project, tmp_path: Path) -> None:
    directory = tmp_path / "deploy"
    before = one(build(export(project, directory)), "Secret", "secrets")["metadata"]["name"]
    project.set_environment(CALLBACK_SECRET="whsec_" + "A" * 32)
    manifests = build(export(project, directory))
    after = one(manifests, "Secret", "secrets")["metadata"]["name"]
    assert before != after
    secrets = [each for each in pods(manifests)["api"]["volumes"] if "secret" in each]
    assert secrets[0]["secret"]["secretName"] == after


def test_a_gpu_project_has_its_workers_on_gpus(tmp_path: Path) -> None:
    project = start_project(tmp_path, "vision", gpu=True)
    manifests = build(export(project, tmp_path / "deploy"))
    assert one(manifests, "Deployment", "worker")["spec"]["replicas"] == 0
    gpu = one(manifests, "Deployment", "worker-gpu")["spec"]
    assert gpu["replicas"] == 1
    (container,) = gpu["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert {"name": "GPU", "value": "1"} in container["env"]


def test_a_redis_outside_takes_the_place_of_the_one_inside(
    project: Project, tmp_path: Path
) -> None:
    project.set_environment(REDIS_URL="redis://user:pw@cache.example:7000/0")
    manifests = build(export(project, tmp_path / "deploy"))
    assert "redis" not in pods(manifests)
    policy = one(manifests, "NetworkPolicy", "to-external-redis")
    ports: list[Any] = policy["spec"]["egress"][0]["ports"]
    assert {"port": 7000} in ports


@pytest.mark.parametrize(
    ("url", "trigger", "told"),
    [
        ("rediss://denzel@cache.example/3", "redis",
         {"address": "cache.example:6379", "databaseIndex": "3", "enableTLS": "true",
          "username": "denzel"}),
        ("redis+sentinel://a.example,b.example:7/first/2", "redis-sentinel",
         {"addresses": "a.example:26379,b.example:7", "databaseIndex": "2",
          "sentinelMaster": "first", "enableTLS": "false"}),
        ("", "redis", {"address": "redis.shop-window.svc:6379", "databaseIndex": "0"}),
    ],
)  # fmt: skip
def test_keda_counts_the_queues_where_they_are(
    project: Project, tmp_path: Path, url: str, trigger: str, told: dict[str, str]
) -> None:
    project.set_environment(REDIS_URL=url)
    scaled = one(build(export(project, tmp_path / "deploy", "keda")), "ScaledObject", "worker")
    assert {each["metadata"]["listName"] for each in scaled["spec"]["triggers"]} == {
        "predictions", "predictions.sync",
    }  # fmt: skip
    for each in scaled["spec"]["triggers"]:
        assert each["type"] == trigger
        assert each["metadata"] == {**each["metadata"], **told}


def test_https_gets_an_ingress(project: Project, tmp_path: Path) -> None:
    project.set_environment(
        HTTPS_DOMAIN="predict.shop.example", API_PREFIX="/window", MONITOR_USER="ada",
        MONITOR_PASSWORD="secret",
    )  # fmt: skip
    manifests = build(export(project, tmp_path / "deploy"))
    rules = [each["spec"]["rules"][0] for each in manifests if each["kind"] == "Ingress"]
    assert {rule["host"] for rule in rules} == {"predict.shop.example"}
    paths = {rule["http"]["paths"][0]["path"] for rule in rules}
    assert paths == {"/window", "/monitor"}
    settings = one(manifests, "ConfigMap", "settings")["data"]
    assert settings["MONITOR_PREFIX"] == "/monitor"


def test_patches_that_stand_in_the_overlay_as_comments_work(
    project: Project, tmp_path: Path
) -> None:
    overlay = export(project, tmp_path / "deploy", "ingress")
    file = overlay / "kustomization.yaml"
    before, patches, after = file.read_text(encoding="utf-8").partition("# patches:")
    lines = (patches + after).splitlines()
    file.write_text("\n".join([before, *(line[2:] for line in lines)]), encoding="utf-8")
    manifests = build(overlay)
    for name, pod in pods(manifests).items():
        assert pod["imagePullSecrets"] == [{"name": "registry"}], name
    annotations = one(manifests, "Ingress", "api")["metadata"]["annotations"]
    assert annotations == {"cert-manager.io/cluster-issuer": "letsencrypt"}


@pytest.mark.parametrize(
    ("name", "namespace"), [("shop_window", "shop-window"), ("9lives", "9lives"), ("a__", "a")]
)
def test_a_namespace_is_made_from_the_projects_name(
    tmp_path: Path, name: str, namespace: str
) -> None:
    assert namespace_of(start_project(tmp_path, name), None) == namespace


@pytest.mark.parametrize(
    "name", ["Shop", "shop_window", "-shop", "s" * 64, "", "default", "kube-x"]
)
def test_names_that_kubernetes_refuses_are_refused(project: Project, name: str) -> None:
    with pytest.raises(UsageError, match="--namespace"):
        namespace_of(project, name)
